// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT

const SPLAT_BYTES = 16; // x y z (16 bits each), six entries of the root, RGBA
const CHUNK = 1 << 20; // base64 characters per chunk, a multiple of 4

/** Return the name of a missing browser feature, "" if all are present. */
function missingFeature() {
  try {
    new DecompressionStream("deflate-raw");
    return "";
  } catch {
    return "DecompressionStream";
  }
}

/** Inflate a base64 text and yield the bytes in chunks. */
async function* inflate(text) {
  let at = 0;
  const packed = new ReadableStream({
    pull(controller) {
      if (at >= text.length) {
        controller.close();
        return;
      }
      const binary = atob(text.slice(at, at + CHUNK));
      at += CHUNK;
      const bytes = new Uint8Array(binary.length);
      for (let n = 0; n < bytes.length; n++) bytes[n] = binary.charCodeAt(n);
      controller.enqueue(bytes);
    },
  });
  const reader = packed.pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

/**
 * Yield the particle colours of the first frame, then each frame as soon as it is decoded.
 *
 * A frame is `{splats, normals, particles, tints}`: 16 bytes per Gaussian, two bytes per normal if they are lit, x y z in
 * 16 bits each per particle, and the particle colours if they change.
 */
async function* readFrames(header, text) {
  const { splats, particles } = header;
  const normals = header.lit ? 2 * splats : 0;
  const size = SPLAT_BYTES * splats + normals + 6 * particles + (header.tinted ? 3 * particles : 0);
  let record = new Uint8Array(3 * particles);
  let filled = 0;
  let before = {
    splats: new Uint8Array(SPLAT_BYTES * splats),
    normals: new Int8Array(normals),
    particles: new Uint16Array(3 * particles),
  };
  let colors = null;
  for await (const piece of inflate(text)) {
    for (let at = 0; at < piece.length; ) {
      const part = piece.subarray(at, at + record.length - filled);
      record.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < record.length) continue;
      if (colors === null) {
        colors = record;
        before.tints = header.tinted ? record : new Uint8Array(0);
        yield { colors };
      } else {
        before = addChanges(before, record);
        yield before;
      }
      record = new Uint8Array(size);
      filled = 0;
    }
  }
}

/** Return the frame after `before`. `record` holds the changes, one byte plane after the other. */
function addChanges(before, record) {
  const after = {};
  for (const name of ["splats", "normals", "particles", "tints"]) after[name] = before[name].slice();
  const splats = after.splats.length / SPLAT_BYTES;
  let at = 0;
  const next = (length) => {
    at += length;
    return record.subarray(at - length, at);
  };
  addSteps(new Uint16Array(after.splats.buffer), SPLAT_BYTES / 2, next(6 * splats));
  for (let plane = 6; plane < SPLAT_BYTES; plane++) addBytes(after.splats.subarray(plane), SPLAT_BYTES, next(splats));
  if (after.normals.length) for (const n of [0, 1]) addBytes(after.normals.subarray(n), 2, next(splats));
  addSteps(after.particles, 3, next(2 * after.particles.length));
  if (after.tints.length) {
    for (const n of [0, 1, 2]) addBytes(after.tints.subarray(n), 3, next(after.tints.length / 3));
  }
  return after;
}

/** Add a change to every `stride`-th byte of `to`. */
function addBytes(to, stride, changes) {
  for (let n = 0, at = 0; n < changes.length; n++, at += stride) to[at] += changes[n];
}

/** Add changes of x y z, each a plane of low and one of high bytes, to every `stride`-th element of `to`. */
function addSteps(to, stride, planes) {
  const count = planes.length / 6;
  for (let axis = 0; axis < 3; axis++) {
    const low = planes.subarray(2 * axis * count, (2 * axis + 1) * count);
    const high = planes.subarray((2 * axis + 1) * count, (2 * axis + 2) * count);
    for (let n = 0, at = axis; n < count; n++, at += stride) {
      const folded = low[n] | (high[n] << 8); // zigzag: 0 1 2 3 4 for 0 -1 1 -2 2
      to[at] += (folded >>> 1) ^ -(folded & 1);
    }
  }
}
