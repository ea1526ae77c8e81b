// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT

const SPEEDS = [1, 2, 0.25, 0.5];
const MAX_RATIO = 2; // largest ratio of canvas pixels to CSS pixels
const TURN = 0.4; // rotation per pixel [degrees]

/** Plays the frames and handles mouse, touch and keyboard input. */
class Player {
  constructor(header) {
    this.canvas = document.getElementById("canvas");
    this.drawing = new Drawing(this.canvas, header);
    this.camera = new OrbitCamera(header.center, header.reach, header.up);
    this.last = header.frames - 1;
    this.fps = header.fps; // frames per second
    this.holds = header.holds; // time [s] that the first and the last frame are held
    this.time = 0;
    this.clock = 0; // seconds since the start of the film
    this.speed = 1;
    this.look = "gaussians";
    this.playing = this.last > 0;
    this.timeline = document.getElementById("timeline");
    this.timeline.max = this.last;
    this.readAddress();
    this.listen();
    new ResizeObserver(() => this.refresh()).observe(this.canvas);
  }

  /** Read the initial state from the URL fragment: frame, azimuth, elevation, zoom, look, speed, paused. */
  readAddress() {
    const options = new URLSearchParams(location.hash.slice(1));
    const number = (name, fallback) => {
      const value = Number.parseFloat(options.get(name));
      return Number.isFinite(value) ? value : fallback;
    };
    this.camera.azimuth = number("azimuth", HOME.azimuth);
    this.camera.elevation = number("elevation", HOME.elevation);
    this.camera.zoom = number("zoom", 1);
    this.speed = number("speed", 1);
    if (options.get("look") === "particles") this.look = "particles";
    if (options.has("paused") || options.has("frame")) this.playing = false;
    this.go(number("frame", 0));
  }

  /** Go to a frame, or to a moment between two. */
  go(time) {
    this.time = Math.min(this.last, Math.max(0, time));
    this.clock = this.holds[0] + this.time / this.fps;
    this.refresh();
  }

  /** Request a redraw. */
  refresh() {
    if (this.requested) return;
    this.requested = true;
    requestAnimationFrame((now) => this.frame(now));
  }

  frame(now) {
    this.requested = false;
    if (this.playing) this.advance((now - (this.now ?? now)) / 1000);
    this.now = this.playing ? now : undefined;
    this.fit();
    const ready = this.drawing.frames.length - 1;
    if (ready >= 0) this.drawing.draw(this.camera, Math.min(this.time, ready), this.look);
    this.showState();
    if (this.playing) this.refresh();
  }

  advance(seconds) {
    const length = this.holds[0] + this.last / this.fps + this.holds[1];
    this.clock = (this.clock + seconds * this.speed) % length;
    this.time = Math.min(this.last, Math.max(0, (this.clock - this.holds[0]) * this.fps));
  }

  showState() {
    this.timeline.value = this.time;
    const element = (name) => document.getElementById(name);
    element("count").textContent = `${Math.round(this.time)} / ${this.last}`;
    element("play").classList.toggle("playing", this.playing);
    element("look").textContent = this.look === "particles" ? "Particles" : "Gaussians";
    element("speed").textContent = `${this.speed}×`;
  }

  /** Match the canvas to the window size and pixel ratio, which differs between screens. */
  fit() {
    const ratio = Math.min(devicePixelRatio, MAX_RATIO);
    for (const [to, from] of [
      ["width", "clientWidth"],
      ["height", "clientHeight"],
    ]) {
      const pixels = Math.max(1, Math.round(this.canvas[from] * ratio));
      if (this.canvas[to] !== pixels) this.canvas[to] = pixels;
    }
  }

  listen() {
    const actions = {
      play: () => this.toggle(),
      look: () => this.switchLook(),
      speed: () => this.nextSpeed(),
      reset: () => this.camera.reset(),
    };
    for (const [name, act] of Object.entries(actions)) {
      document.getElementById(name).addEventListener("click", () => {
        act();
        this.refresh();
      });
    }
    this.timeline.addEventListener("input", () => {
      this.playing = false;
      this.go(Number(this.timeline.value));
    });
    addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    this.canvas.addEventListener("webglcontextrestored", () => location.reload());
    this.listenToPointers();
  }

  toggle() {
    this.playing = !this.playing && this.last > 0;
  }

  switchLook() {
    this.look = this.look === "particles" ? "gaussians" : "particles";
  }

  nextSpeed() {
    this.speed = SPEEDS[(SPEEDS.indexOf(this.speed) + 1) % SPEEDS.length];
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = (frames) => {
      this.playing = false;
      this.go(Math.round(this.time) + frames);
    };
    const actions = {
      " ": () => this.toggle(),
      ArrowRight: () => step(1),
      ArrowLeft: () => step(-1),
      Home: () => step(-this.last),
      End: () => step(this.last),
      p: () => this.switchLook(),
      s: () => this.nextSpeed(),
      r: () => this.camera.reset(),
      "+": () => this.camera.approach(1.2),
      "-": () => this.camera.approach(1 / 1.2),
    };
    const act = actions[event.key];
    if (!act) return;
    event.preventDefault(); // also keeps Space from pressing the focused button
    act();
    this.refresh();
  }

  /** One pointer rotates, and pans with Shift or another button; two fingers zoom and pan. */
  listenToPointers() {
    const { canvas, camera } = this;
    const down = new Map();
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      canvas.classList.add("dragged");
      document.getElementById("hint").classList.add("hidden");
      down.set(event.pointerId, [event.clientX, event.clientY]);
    });
    canvas.addEventListener("pointermove", (event) => {
      const from = down.get(event.pointerId);
      if (!from) return;
      const to = [event.clientX, event.clientY];
      const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
      const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const gap = (at) => Math.max(1, Math.hypot(at[0] - other[0], at[1] - other[1]));
        camera.approach(gap(to) / gap(from));
        camera.shift(dx / 2, dy / 2, canvas.clientWidth, canvas.clientHeight);
      } else if (event.shiftKey || event.buttons > 1) {
        camera.shift(dx, dy, canvas.clientWidth, canvas.clientHeight);
      } else {
        camera.turn(-TURN * dx, TURN * dy);
      }
      down.set(event.pointerId, to);
      this.refresh();
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => {
        down.delete(event.pointerId);
        if (!down.size) canvas.classList.remove("dragged");
      });
    }
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const lines = event.deltaMode ? 16 : 1;
        camera.approach(Math.exp(-0.0012 * lines * event.deltaY));
        document.getElementById("hint").classList.add("hidden");
        this.refresh();
      },
      { passive: false },
    );
  }
}

let player;

async function start() {
  const message = document.getElementById("message");
  try {
    const missing = missingFeature();
    if (missing) throw new Error(`This browser does not support ${missing}`);
    const header = JSON.parse(document.getElementById("header").textContent);
    player = new Player(header);
    const element = document.getElementById("frames");
    const text = element.textContent;
    element.remove();
    for await (const part of readFrames(header, text)) {
      if (part.colors) player.drawing.setColors(part.colors);
      else player.drawing.add(part);
      message.textContent = player.drawing.frames.length < 1 ? "Loading" : "";
      player.refresh();
    }
    if (player.drawing.frames.length < header.frames) throw new Error("This file is incomplete");
  } catch (error) {
    document.getElementById("bar").hidden = true;
    message.textContent = `${error.message}. This page needs a browser from 2023 or later with hardware acceleration.`;
    throw error;
  }
}

start();
