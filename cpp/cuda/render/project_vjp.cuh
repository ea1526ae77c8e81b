// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "render/composite.cuh"

// Gradients of the inputs from the sums of the entries: one thread per Gaussian, which processes all images in turn.

namespace diffmpm::cuda {

// Adjoint of the pose of a camera: R row by row, then t.
struct Pose {
  double v[12];
  DIFFMPM_HD Pose& operator+=(const Pose& o) {
    for (int n = 0; n < 12; ++n) v[n] += o.v[n];
    return *this;
  }
};

// With kPoses, also the sums of the poses' adjoints, one per block; without them the kernel needs fewer registers.
template <class T, bool kPoses>
struct ProjectVjp {
  struct Args {
    RasterView<T> view;
    const T* sums;
    RasterGradients<T> out;
    Pose* poses;  // (C, blocks), with kPoses
  };
  struct Shared {
    Pose scratch[kPoses ? kThreads : 1];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const RasterInput<T>& in = a.view.in;
    const std::int64_t first = std::int64_t{block.index()} * kThreads, left = in.count - first;
    const int count = left < kThreads ? static_cast<int>(left) : kThreads;
    const std::int64_t blocks = (in.count + kThreads - 1) / kThreads;
    for (int view = 0; view < in.cameras; ++view) {
      if constexpr (kPoses) {
        fold(block, s.scratch, count, [&](int n) { return splat(a, view, first + n); });
        block.for_each(1, [&](int) { a.poses[view * blocks + block.index()] = s.scratch[0]; });
      } else {
        block.for_each(count, [&](int n) { splat(a, view, first + n); });
      }
    }
  }

  static DIFFMPM_HD Pose splat(const Args& a, int view, std::int64_t g) {
    const RasterInput<T>& in = a.view.in;
    const std::int64_t n = view * in.count + g;
    Pose pose{};
    if (a.view.status[n] != SplatStatus::visible) {
      clear(a, view, g);
      return pose;
    }
    const Index begin = a.view.splat_slots[2 * n], end = a.view.splat_slots[2 * n + 1];
    // Sum the first columns by wide loads, in the same order as SplatSums.
    constexpr int kQuads = (kMoments + kChannelGroup + 3) / 4;
    const int width = sums_width(in.channels);
    const SplatSums<T> sums = {a.sums + std::int64_t{begin} * width, static_cast<std::uint32_t>(end - begin), width};
    double near[4 * kQuads] = {};
    for (Index n = begin; n < end; ++n) {
      const Quad<T>* const row = reinterpret_cast<const Quad<T>*>(a.sums + std::int64_t{n} * width);
      for (int j = 0; j < kQuads; ++j) {
        if (4 * j >= width) break;
        const Quad<T> part = row[j];
        for (int i = 0; i < 4; ++i) near[4 * j + i] += static_cast<double>(part.v[i]);
      }
    }
    const auto total = [&](int column) { return column < 4 * kQuads ? near[column] : sums(column); };
    Mat3<double> adj_R = Mat3<double>::zero();
    Vec3<double> adj_t = Vec3<double>::zero();
    splat_vjp(in, view, a.view.cameras[view], g, total, a.out, view > 0, adj_R, adj_t);
    for (int k = 0; k < 9; ++k) pose.v[k] = adj_R.m[k];
    for (int k = 0; k < 3; ++k) pose.v[9 + k] = adj_t[k];
    return pose;
  }

  // The first image initialises the gradients, also where the Gaussian is not visible in it.
  static DIFFMPM_HD void clear(const Args& a, int view, std::int64_t g) {
    const auto zero = [](T* out, int count) {
      for (int k = 0; k < count; ++k) out[k] = T(0);
    };
    const RasterInput<T>& in = a.view.in;
    if (a.out.colors && (view == 0 || in.colors_per_camera)) zero(a.out.colors + in.color_index(view, g), in.channels);
    if (a.out.means2d) zero(a.out.means2d + 2 * (view * in.count + g), 2);
    if (view > 0) return;
    if (a.out.means) zero(a.out.means + 3 * g, 3);
    if (a.out.covars) zero(a.out.covars + 9 * g, 9);
    if (a.out.quats) zero(a.out.quats + 4 * g, 4);
    if (a.out.scales) zero(a.out.scales + 3 * g, 3);
    if (a.out.opacities) zero(a.out.opacities + g, 1);
  }
};

// Write the adjoint of each camera's pose as a matrix (4, 4) whose last row is 0.
struct StorePoses {
  std::int64_t count;
  const Pose* poses;
  double* viewmats;  // (C, 4, 4)

  DIFFMPM_HD void operator()(std::int64_t c) const {
    double* const out = viewmats + 16 * c;
    for (int r = 0; r < 3; ++r) {
      for (int k = 0; k < 3; ++k) out[4 * r + k] = poses[c].v[3 * r + k];
      out[4 * r + 3] = poses[c].v[9 + r];
    }
    for (int k = 12; k < 16; ++k) out[k] = 0;
  }
};

// Adjoint of the backgrounds, sum of transmittance times cotangent: kTiles tiles of one channel of one image per block.
template <class T>
struct BackgroundVjp {
  static constexpr int kTiles = 16;
  struct Args {
    RasterView<T> view;
    const T *transmittance, *color;
    std::int64_t parts;  // blocks of a channel of an image
    double* out;         // (C, K, parts)
  };
  struct Shared {
    double scratch[kThreads];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const RasterInput<T>& in = a.view.in;
    const std::int64_t channel = block.index() / a.parts, tiles = a.view.tiles();
    const std::int64_t view = channel / in.channels, k = channel % in.channels;
    const std::int64_t first = block.index() % a.parts * kTiles, left = tiles - first;
    fold(block, s.scratch, static_cast<int>(left < kTiles ? left : kTiles) * kTilePixels, [&](int n) {
      const std::int64_t tile = view * tiles + first + n / kTilePixels;
      const PixelCoords<T> coords = TileView<T>(a.view, static_cast<int>(tile)).pixel(a.view, n % kTilePixels);
      if (!coords.inside) return 0.0;
      const T cotangent = a.color[(view * a.view.pixels() + coords.at) * in.channels + k];
      return static_cast<double>(a.transmittance[tile * kTilePixels + n % kTilePixels]) *
             static_cast<double>(cotangent);
    });
    block.for_each(1, [&](int) { a.out[block.index()] = s.scratch[0]; });
  }
};

}  // namespace diffmpm::cuda
