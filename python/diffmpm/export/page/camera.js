// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT

const FOV = 30; // vertical field of view [degrees], as in the package's images
const FILL = 0.98; // fraction of the window that the bounding sphere fills at the start
const HOME = { azimuth: -60, elevation: 15 }; // initial view direction [degrees]
// Directions of azimuth 0 and 90 degrees for each up axis, as in the package's images.
const TOWARDS_0 = [
  [0, 0, -1],
  [1, 0, 0],
  [1, 0, 0],
];
const TOWARDS_90 = [
  [0, 1, 0],
  [0, 0, -1],
  [0, 1, 0],
];
const STEEPEST = 89.5; // largest elevation [degrees], short of the pole
const BAR = 84; // height of the controls at the bottom of the window [CSS px]
const NEAREST = 0.05; // smallest distance over the initial one
const FARTHEST = 20; // largest distance over the initial one

/** Orbit camera in data coordinates, with OpenCV axes as in the package: x right, y down, z forward. */
class OrbitCamera {
  /**
   * @param {number[]} center centre of all frames
   * @param {number} reach radius of the bounding sphere of all frames
   * @param {number} up index of the axis that is up
   */
  constructor(center, reach, up) {
    this.center = center;
    this.reach = reach;
    this.up = up;
    this.reset();
  }

  /** Return to the initial view. */
  reset() {
    this.azimuth = HOME.azimuth;
    this.elevation = HOME.elevation;
    this.target = [...this.center];
    this.zoom = 1;
  }

  /** Rotate by angles [degrees]. */
  turn(azimuth, elevation) {
    this.azimuth = (this.azimuth + azimuth) % 360;
    this.elevation = Math.min(STEEPEST, Math.max(-STEEPEST, this.elevation + elevation));
  }

  /** Zoom in by a factor. */
  approach(factor) {
    this.zoom = Math.min(1 / NEAREST, Math.max(1 / FARTHEST, this.zoom * factor));
  }

  /** Pan by pixels of a window of this size. */
  shift(dx, dy, width, height) {
    const { right, down, focal, distance } = this.view(width, height);
    for (let k = 0; k < 3; k++) this.target[k] -= ((dx * right[k] + dy * down[k]) * distance) / focal;
  }

  /**
   * Return the view axes, the eye, its distance, the focal length [px] and the principal point [px] for a window of this
   * size with `ratio` pixels per CSS pixel.
   */
  view(width, height, ratio = 1) {
    const half = Math.tan((FOV * Math.PI) / 360);
    const free = Math.max(height - BAR * ratio, height / 2);
    // The sphere fits into the narrower side of the area above the controls.
    const slope = half * Math.min(1, width / free);
    const distance = (this.reach * Math.hypot(1, 1 / slope)) / FILL / this.zoom;
    const side = TOWARDS_0[this.up];
    const depth = TOWARDS_90[this.up];
    const vector = (a, b, c) => [0, 1, 2].map((k) => a * side[k] + b * depth[k] + (k === this.up ? c : 0));
    const theta = (this.azimuth * Math.PI) / 180;
    const phi = (this.elevation * Math.PI) / 180;
    const right = vector(-Math.sin(theta), Math.cos(theta), 0);
    const down = vector(Math.sin(phi) * Math.cos(theta), Math.sin(phi) * Math.sin(theta), -Math.cos(phi));
    const forward = vector(-Math.cos(phi) * Math.cos(theta), -Math.cos(phi) * Math.sin(theta), -Math.sin(phi));
    const eye = this.target.map((x, k) => x - distance * forward[k]);
    return { right, down, forward, eye, distance, focal: (0.5 * free) / half, center: [0.5 * width, 0.5 * free] };
  }
}
