// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT

const FOV = 30; // vertical field of view [degrees], that of the package's pictures
const FILL = 0.98; // share of the window that the sphere around all frames fills at the start
const HOME = { azimuth: 35, elevation: 18 }; // first direction of view [degrees]
const STEEPEST = 89.5; // largest elevation [degrees]: above it, up would not be up any more
const BAR = 84; // height at the bottom of the window that the controls take [px of the page]
const NEAREST = 0.05;
const FARTHEST = 20; // distances over that of the first view

/** Camera on a sphere around a target, in the axes of the data; OpenCV axes as in the package: x right, y down, z forward. */
class OrbitCamera {
  /**
   * @param {number[]} center middle of all frames
   * @param {number} reach radius of the sphere around all frames
   * @param {number} up index of the axis that is up
   */
  constructor(center, reach, up) {
    this.center = center;
    this.reach = reach;
    this.up = up;
    this.reset();
  }

  /** Return to the first view. */
  reset() {
    this.azimuth = HOME.azimuth;
    this.elevation = HOME.elevation;
    this.target = [...this.center];
    this.zoom = 1;
  }

  /** Turn by angles [degrees]. */
  turn(azimuth, elevation) {
    this.azimuth = (this.azimuth + azimuth) % 360;
    this.elevation = Math.min(STEEPEST, Math.max(-STEEPEST, this.elevation + elevation));
  }

  /** Come closer by a factor. */
  approach(factor) {
    this.zoom = Math.min(1 / NEAREST, Math.max(1 / FARTHEST, this.zoom * factor));
  }

  /** Move the target across the view by pixels of a window of that size. */
  shift(dx, dy, width, height) {
    const { right, down, focal, distance } = this.view(width, height);
    for (let k = 0; k < 3; k++) this.target[k] -= ((dx * right[k] + dy * down[k]) * distance) / focal;
  }

  /**
   * Return the axes of the view, the eye, its distance, the focal length [px] and the pixel that it looks at for a window
   * of that size, `sharp` pixels of which are one of the page.
   */
  view(width, height, sharp = 1) {
    const half = Math.tan((FOV * Math.PI) / 360);
    const free = Math.max(height - BAR * sharp, height / 2);
    // The sphere fits into the narrower side of what the controls leave free.
    const slope = half * Math.min(1, width / free);
    const distance = (this.reach * Math.hypot(1, 1 / slope)) / FILL / this.zoom;
    const side = (this.up + 1) % 3;
    const depth = (this.up + 2) % 3;
    const theta = (this.azimuth * Math.PI) / 180;
    const phi = (this.elevation * Math.PI) / 180;
    const right = [0, 0, 0];
    const down = [0, 0, 0];
    const forward = [0, 0, 0];
    forward[side] = -Math.cos(phi) * Math.cos(theta);
    forward[depth] = -Math.cos(phi) * Math.sin(theta);
    forward[this.up] = -Math.sin(phi);
    right[side] = -Math.sin(theta);
    right[depth] = Math.cos(theta);
    down[side] = Math.sin(phi) * Math.cos(theta);
    down[depth] = Math.sin(phi) * Math.sin(theta);
    down[this.up] = -Math.cos(phi);
    const eye = this.target.map((x, k) => x - distance * forward[k]);
    return { right, down, forward, eye, distance, focal: (0.5 * free) / half, center: [0.5 * width, 0.5 * free] };
  }
}
