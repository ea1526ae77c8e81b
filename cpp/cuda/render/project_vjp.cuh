// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "render/composite.cuh"

// From the sums of the entries to the gradients of the inputs: a thread a Gaussian, through all images one after the other.

namespace diffmpm::cuda {

// Adjoint of a camera's pose: R row by row, then t.
struct Pose {
  double v[12];
  DIFFMPM_HD Pose& operator+=(const Pose& o) {
    for (int n = 0; n < 12; ++n) v[n] += o.v[n];
    return *this;
  }
};

template <class T>
struct ProjectVjp {
  struct Args {
    RasterView<T> view;
    const T* sums;
    RasterGradients<T> out;
    Pose* poses;  // (C, blocks), or null
  };
  struct Shared {
    Pose scratch[kThreads];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const RasterInput<T>& in = a.view.in;
    const std::int64_t first = std::int64_t{block.index()} * kThreads, left = in.count - first;
    const int count = left < kThreads ? static_cast<int>(left) : kThreads;
    const std::int64_t blocks = (in.count + kThreads - 1) / kThreads;
    for (int view = 0; view < in.cameras; ++view) {
      if (!a.poses) {
        block.for_each(count, [&](int n) { splat(a, view, first + n); });
        continue;
      }
      fold(block, s.scratch, count, [&](int n) { return splat(a, view, first + n); });
      block.for_each(1, [&](int) { a.poses[view * blocks + block.index()] = s.scratch[0]; });
    }
  }

  static DIFFMPM_HD Pose splat(const Args& a, int view, std::int64_t g) {
    const RasterInput<T>& in = a.view.in;
    const std::int64_t n = view * in.count + g;
    Pose pose{};
    if (a.view.status[n] != SplatStatus::visible) return pose;
    const Index begin = a.view.slots[2 * n], end = a.view.slots[2 * n + 1];
    const SplatSums<T> sums = {a.sums + std::int64_t{begin} * (kMoments + in.channels + 1),
                               static_cast<std::uint32_t>(end - begin)};
    Mat3<double> adj_R = Mat3<double>::zero();
    Vec3<double> adj_t = Vec3<double>::zero();
    splat_vjp(in, view, a.view.cameras[view], g, sums, a.out, true, adj_R, adj_t);
    for (int k = 0; k < 9; ++k) pose.v[k] = adj_R.m[k];
    for (int k = 0; k < 3; ++k) pose.v[9 + k] = adj_t[k];
    return pose;
  }
};

// Adjoint of the backgrounds, one block a channel of an image: what a pixel lets through of its cotangent.
template <class T>
struct BackgroundVjp {
  struct Args {
    RasterView<T> view;
    const T *transmittance, *color;
    T* out;  // (C, K)
  };
  struct Shared {
    double scratch[kThreads];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const RasterInput<T>& in = a.view.in;
    const int view = block.index() / in.channels, k = block.index() % in.channels;
    const std::int64_t first_tile = view * a.view.tiles();
    fold(block, s.scratch, static_cast<int>(a.view.tiles() * kTilePixels), [&](int n) {
      const std::int64_t tile = first_tile + n / kTilePixels;
      const PixelPlace<T> place = TileView<T>(a.view, tile).pixel(a.view, n % kTilePixels);
      if (!place.inside) return 0.0;
      const T cotangent = a.color[(view * a.view.pixels() + place.at) * in.channels + k];
      return static_cast<double>(a.transmittance[first_tile * kTilePixels + n]) * static_cast<double>(cotangent);
    });
    block.for_each(1, [&](int) { a.out[block.index()] = static_cast<T>(s.scratch[0]); });
  }
};

}  // namespace diffmpm::cuda
