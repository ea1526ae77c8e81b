// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT

const BACKGROUND = [246 / 255, 247 / 255, 249 / 255];
const TEXTURE_WIDTH = 2048;
const DEPTHS = 1 << 16; // buckets of the depth sort

/**
 * Draws a moment: the Gaussians of the nearer frame, sorted back to front, or particles between two frames, with a depth
 * buffer. Gaussians of different frames do not correspond.
 */
class Drawing {
  constructor(canvas, header) {
    const gl = canvas.getContext("webgl2", { alpha: false, antialias: false, powerPreference: "high-performance" });
    if (!gl) throw new Error("This browser does not support WebGL 2");
    this.gl = gl;
    this.header = header;
    this.frames = [];
    this.unit = 1 / header.steps;
    this.splat = program(gl, SPLAT_VERTEX, SPLAT_FRAGMENT);
    this.particle = program(gl, PARTICLE_VERTEX, PARTICLE_FRAGMENT);
    this.keys = new Uint16Array(header.splats);
    this.depths = new Float32Array(header.splats);
    this.order = new Uint32Array(header.splats);
    this.starts = new Uint32Array(DEPTHS + 1);
    this.sorting = gl.createVertexArray();
    gl.bindVertexArray(this.sorting);
    this.indices = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.indices);
    gl.bufferData(gl.ARRAY_BUFFER, this.order.byteLength, gl.DYNAMIC_DRAW);
    const index = gl.getAttribLocation(this.splat, "index");
    gl.enableVertexAttribArray(index);
    gl.vertexAttribIPointer(index, 1, gl.UNSIGNED_INT, 0, 0);
    gl.vertexAttribDivisor(index, 1);
    const height = Math.ceil(header.splats / TEXTURE_WIDTH);
    texture(gl, 0, gl.RGBA32UI, height);
    texture(gl, 1, gl.RG8_SNORM, header.lit ? height : 1);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    this.shown = -1; // frame in the textures
    this.cloud = gl.createVertexArray();
    this.positions = gl.createBuffer();
    this.tints = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.positions);
    gl.bufferData(gl.ARRAY_BUFFER, 6 * header.particles * header.frames, gl.STATIC_DRAW);
  }

  /** Set the particle colours of the first frame. */
  setColors(colors) {
    const { gl, header } = this;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.tints);
    gl.bufferData(gl.ARRAY_BUFFER, colors.byteLength * (header.tinted ? header.frames : 1), gl.STATIC_DRAW);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, colors);
  }

  /** Append a frame. */
  add(frame) {
    const gl = this.gl;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.positions);
    gl.bufferSubData(gl.ARRAY_BUFFER, this.frames.length * frame.particles.byteLength, frame.particles);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.tints);
    gl.bufferSubData(gl.ARRAY_BUFFER, this.frames.length * frame.tints.byteLength, frame.tints);
    this.frames.push({
      steps: new Uint16Array(frame.splats.buffer),
      words: new Uint32Array(frame.splats.buffer),
      normals: frame.normals,
    });
  }

  /**
   * Draw.
   *
   * @param {OrbitCamera} camera
   * @param {number} time frame, with a fraction between two
   * @param {"gaussians" | "particles"} look
   */
  draw(camera, time, look) {
    const { gl, header, unit } = this;
    const { width, height } = gl.canvas;
    const first = Math.min(Math.floor(time), this.frames.length - 1);
    const second = Math.min(first + 1, this.frames.length - 1);
    const view = camera.view(width, height, width / Math.max(1, gl.canvas.clientWidth));
    const eye = view.eye.map((x, k) => (x - header.low[k]) / header.extent);
    gl.viewport(0, 0, width, height);
    gl.clearColor(...BACKGROUND, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const chosen = look === "particles" ? this.particle : this.splat;
    gl.useProgram(chosen);
    const at = (name) => gl.getUniformLocation(chosen, name);
    const { right, down, forward } = view;
    gl.uniformMatrix3fv(at("view"), true, [...right, ...down, ...forward]);
    gl.uniform3fv(at("eye"), eye);
    gl.uniform1f(at("focal"), view.focal);
    gl.uniform2f(at("size"), width, height);
    gl.uniform2fv(at("center"), view.center);
    gl.uniform1f(at("unit"), unit);
    if (look === "particles") this.drawParticles(at, first, second, time - first);
    else this.drawSplats(at, time - first < 0.5 ? first : second, view);
  }

  drawParticles(at, first, second, fraction) {
    const { gl, header } = this;
    gl.uniform1f(at("fraction"), fraction);
    gl.uniform1f(at("radius"), header.radius / header.extent);
    gl.bindVertexArray(this.cloud);
    const attribute = (name, buffer, type, normalized, offset) => {
      const location = gl.getAttribLocation(this.particle, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, 3, type, normalized, 0, offset);
    };
    attribute("earlier", this.positions, gl.UNSIGNED_SHORT, false, 6 * header.particles * first);
    attribute("later", this.positions, gl.UNSIGNED_SHORT, false, 6 * header.particles * second);
    attribute("tint", this.tints, gl.UNSIGNED_BYTE, true, header.tinted ? 3 * header.particles * first : 0);
    gl.enable(gl.DEPTH_TEST);
    gl.disable(gl.BLEND);
    gl.drawArrays(gl.POINTS, 0, header.particles);
  }

  drawSplats(at, frame, { right, forward }) {
    const { gl, header } = this;
    const up = [0, 1, 2].map((k) => Number(k === header.up));
    const across = [0, 1, 2].map((k) => right[(k + 1) % 3] * up[(k + 2) % 3] - right[(k + 2) % 3] * up[(k + 1) % 3]);
    gl.uniformMatrix3fv(at("stage"), true, [...right, ...up, ...across]);
    gl.uniform1i(at("lit"), Number(header.lit));
    gl.uniform1f(at("largest"), header.root / header.extent);
    this.show(frame);
    gl.uniform1i(at("splats"), 0);
    gl.uniform1i(at("normals"), 1);
    this.sort(frame, forward);
    gl.bindVertexArray(this.sorting);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.indices);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, this.order);
    gl.disable(gl.DEPTH_TEST);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, header.splats);
  }

  /** Upload a frame to the textures, unless they hold it. */
  show(frame) {
    const gl = this.gl;
    if (this.shown === frame) return;
    this.shown = frame;
    const { words, normals } = this.frames[frame];
    fill(gl, 0, gl.RGBA_INTEGER, gl.UNSIGNED_INT, words, 4);
    if (this.header.lit) fill(gl, 1, gl.RG, gl.BYTE, normals, 2);
  }

  /** Sort the Gaussians back to front with a counting sort. */
  sort(frame, forward) {
    const { keys, depths, order, starts } = this;
    const { steps } = this.frames[frame];
    const [fx, fy, fz] = forward;
    let nearest = Infinity;
    let farthest = -Infinity;
    for (let g = 0, at = 0; g < keys.length; g++, at += 8) {
      const depth = fx * steps[at] + fy * steps[at + 1] + fz * steps[at + 2];
      depths[g] = depth;
      if (depth < nearest) nearest = depth;
      if (depth > farthest) farthest = depth;
    }
    const scale = (DEPTHS - 1) / Math.max(farthest - nearest, 1e-6);
    starts.fill(0);
    for (let g = 0; g < keys.length; g++) {
      keys[g] = (farthest - depths[g]) * scale;
      starts[keys[g] + 1]++;
    }
    for (let k = 1; k < starts.length; k++) starts[k] += starts[k - 1];
    for (let g = 0; g < keys.length; g++) order[starts[keys[g]]++] = g;
  }
}

/** Compile and link a program. */
function program(gl, vertex, fragment) {
  const linked = gl.createProgram();
  for (const [type, source] of [
    [gl.VERTEX_SHADER, vertex],
    [gl.FRAGMENT_SHADER, fragment],
  ]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(linked, shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
  }
  gl.linkProgram(linked);
  if (!gl.getProgramParameter(linked, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(linked));
  return linked;
}

/** Create a texture without filtering and bind it to a unit. */
function texture(gl, unit, format, height) {
  const created = gl.createTexture();
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(gl.TEXTURE_2D, created);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  gl.texStorage2D(gl.TEXTURE_2D, 1, format, TEXTURE_WIDTH, height);
  return created;
}

/** Fill the texture of a unit row by row with texels of `numbers` values. The last row may be shorter. */
function fill(gl, unit, format, type, values, numbers) {
  gl.activeTexture(gl.TEXTURE0 + unit);
  const count = values.length / numbers;
  const rows = Math.floor(count / TEXTURE_WIDTH);
  const rest = count % TEXTURE_WIDTH;
  const put = (y, w, h) =>
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, y, w, h, format, type, values, numbers * TEXTURE_WIDTH * y);
  if (rows) put(0, TEXTURE_WIDTH, rows);
  if (rest) put(rows, rest, 1);
}
