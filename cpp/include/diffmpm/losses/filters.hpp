// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>

#include "diffmpm/core/macros.hpp"

// Filters used by image losses. Images are extended by zeros.

DIFFMPM_BEGIN_ISA

// Half width of the widest blur [px], and of a blur in standard deviations: 6e-5 of the weight lies beyond 4.
inline constexpr int kMostReach = 64;
inline constexpr double kReachOfBlur = 4.0;

// Weights of a Gaussian blur at distances 0 to `reach` pixels; they sum to 1 over both sides.
struct BlurWeights {
  int reach;
  double at[kMostReach + 1];
};

inline BlurWeights blur_weights(double sigma) {
  BlurWeights w{static_cast<int>(kReachOfBlur * sigma + 0.5), {}};
  double sum = 0;
  for (int n = 0; n <= w.reach; ++n) {
    w.at[n] = std::exp(-0.5 * n * n / (sigma * sigma));
    sum += n == 0 ? w.at[n] : 2 * w.at[n];
  }
  for (int n = 0; n <= w.reach; ++n) w.at[n] /= sum;
  return w;
}

// Blurs kCount adjacent pixels along an axis: out_n = sum_t w_|t| in_(n + t stride). `position` is that of the first pixel among
// `length` along the axis. If the pixels are adjacent along that axis, kCount must be 1 or all weights must fall inside of the
// image. The filter is its own transpose.
template <int kCount, class T>
DIFFMPM_HD void blur_pixels(const BlurWeights& w, int position, int length, std::int64_t stride, const T* in, T* out) {
  double sum[kCount] = {};
  const int first = position < w.reach ? -position : -w.reach;
  const int last = length - 1 - position < w.reach ? length - 1 - position : w.reach;
  for (int t = first; t <= last; ++t) {
    const double weight = w.at[t < 0 ? -t : t];
    for (int n = 0; n < kCount; ++n) sum[n] += weight * static_cast<double>(in[t * stride + n]);
  }
  for (int n = 0; n < kCount; ++n) out[n] = static_cast<T>(sum[n]);
}

// Means over squares of `size` pixels of an image; the last squares may extend beyond the border.
struct Pooling {
  int height, width, size;
  DIFFMPM_HD int rows() const { return (height + size - 1) / size; }
  DIFFMPM_HD int columns() const { return (width + size - 1) / size; }
};

// Mean in one row and column.
template <class T>
DIFFMPM_HD T pooled(const Pooling& p, const T* image, int row, int column) {
  double sum = 0;
  for (int i = row * p.size; i < (row + 1) * p.size && i < p.height; ++i)
    for (int j = column * p.size; j < (column + 1) * p.size && j < p.width; ++j)
      sum += static_cast<double>(image[std::int64_t{i} * p.width + j]);
  return static_cast<T>(sum / (static_cast<double>(p.size) * p.size));
}

// Cotangent of a pixel, from those of the means.
template <class T>
DIFFMPM_HD T pooled_vjp(const Pooling& p, const T* adj, int i, int j) {
  return adj[i / p.size * p.columns() + j / p.size] / (static_cast<T>(p.size) * static_cast<T>(p.size));
}

DIFFMPM_END_ISA
