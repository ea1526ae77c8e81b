// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>

#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/eig3.hpp"

// Value and derivative of image losses for one pixel or one Gaussian (docs/method.md, section 4).

DIFFMPM_BEGIN_ISA

// Difference of opacities below which the L1 loss is a parabola, so that it is differentiable everywhere.
inline constexpr double kHuberAlpha = 1e-3;

// Probability below which -log p continues as a straight line: an opaque pixel where the target is empty has a finite loss and a
// gradient.
inline constexpr double kClampBce = 1e-3;

// Published constants of SSIM for values in a range of 1: they keep quotients finite; the standard deviation of the window [px].
inline constexpr double kSsimC1 = 0.01 * 0.01, kSsimC2 = 0.03 * 0.03, kSsimSigma = 1.5;

// Slope per pixel below which an image counts as flat: weaker edges have less weight.
inline constexpr double kEdgeFloor = 0.05;

// |a - target|; a parabola where it is below kHuberAlpha.
struct AbsolutePixel {
  template <class T>
  static DIFFMPM_HD T value(T a, T target, T& adj_a) {
    const T d = a - target, size = d < T(0) ? -d : d, near = T(kHuberAlpha);
    const T slope = (size < near ? size : near) / near;  // size^2 / (2 near) there, size - near / 2 beyond
    adj_a = d < T(0) ? -slope : slope;
    return slope * (size - T(0.5) * near * slope);
  }
};

// (a - target)^2.
struct SquarePixel {
  template <class T>
  static DIFFMPM_HD T value(T a, T target, T& adj_a) {
    const T d = a - target;
    adj_a = T(2) * d;
    return d * d;
  }
};

// -log p; a straight line below kClampBce.
template <class T>
DIFFMPM_HD T minus_log(T p, T& adj_p) {
  const T clamp = T(kClampBce), safe = p < clamp ? clamp : p;
  adj_p = T(-1) / safe;
  return (safe - p) / clamp - std::log(safe);
}

// -target log a - (1 - target) log(1 - a).
struct CrossEntropyPixel {
  template <class T>
  static DIFFMPM_HD T value(T a, T target, T& adj_a) {
    T adj_covered, adj_empty;
    const T covered = minus_log(a, adj_covered), empty = minus_log(T(1) - a, adj_empty);
    adj_a = target * adj_covered - (T(1) - target) * adj_empty;
    return target * covered + (T(1) - target) * empty;
  }
};

// Eq. 4.4: target ((depth - a z) / extent)^2 with z the expected depth of the target.
template <class T>
DIFFMPM_HD T depth_pixel(T a, T depth, T target, T target_depth, T extent, T& adj_a, T& adj_depth) {
  const T z = target > T(0) ? target_depth / target : T(0);
  const T gap = (depth - a * z) / extent;
  adj_depth = T(2) * target * gap / extent;
  adj_a = -z * adj_depth;
  return target * gap * gap;
}

// Eq. 4.5: similarity of two images x and y around a pixel, from the blurred x, y, x^2, y^2 and x y, and its derivatives with
// respect to the blurred x, x^2 and x y.
template <class T>
DIFFMPM_HD T similarity(T mx, T my, T mxx, T myy, T mxy, T& adj_mx, T& adj_mxx, T& adj_mxy) {
  const T mean_top = T(2) * mx * my + T(kSsimC1), mean_low = mx * mx + my * my + T(kSsimC1);
  const T top = T(2) * (mxy - mx * my) + T(kSsimC2), low = (mxx - mx * mx) + (myy - my * my) + T(kSsimC2);
  const T means = mean_top / mean_low, spread = top / low;
  adj_mxx = -means * spread / low, adj_mxy = T(2) * means / low;
  adj_mx = T(2) * spread * (my - mx * means) / mean_low - T(2) * mx * adj_mxx - my * adj_mxy;
  return means * spread;
}

// Eq. 4.6, numerator: |h| - <g, h> / sqrt(|g|^2 + kEdgeFloor^2) of a slope g and the slope h of the target.
template <class T>
DIFFMPM_HD T edge_pixel(const T (&g)[2], const T (&h)[2], T (&adj_g)[2]) {
  const T length = std::sqrt(g[0] * g[0] + g[1] * g[1] + T(kEdgeFloor * kEdgeFloor));
  const T along = (g[0] * h[0] + g[1] * h[1]) / length;
  for (int r = 0; r < 2; ++r) adj_g[r] = (along * g[r] / length - h[r]) / length;
  return std::sqrt(h[0] * h[0] + h[1] * h[1]) - along;
}

// Losses of the logarithms l of the eigenvalues of a covariance: squared spread, and squared difference of the logarithms of the
// mean radius and a target size.
struct SpectrumLogs {
  DIFFMPM_HD double value(const double (&l)[3], double (&adj_l)[3]) const {
    const double mean = (l[0] + l[1] + l[2]) / 3;
    double sum = 0;
    for (int k = 0; k < 3; ++k) adj_l[k] = 2 * (l[k] - mean), sum += (l[k] - mean) * (l[k] - mean);
    return sum;
  }
};
struct SizeLogs {
  double log_size;
  DIFFMPM_HD double value(const double (&l)[3], double (&adj_l)[3]) const {
    const double gap = (l[0] + l[1] + l[2]) / 6 - log_size;
    for (int k = 0; k < 3; ++k) adj_l[k] = gap / 3;
    return gap * gap;
  }
};

// Sum over covariances. `invalid` counts matrices that are not positive definite; `lowest` is their smallest eigenvalue.
struct CovarianceSum {
  double value, lowest;
  std::int64_t invalid;
  DIFFMPM_HD CovarianceSum& operator+=(const CovarianceSum& o) {
    value += o.value, invalid += o.invalid;
    if (o.lowest < lowest) lowest = o.lowest;
    return *this;
  }
};

// A loss of the eigenvalues of one covariance, in double precision. It is symmetric in them, so the gradient V f'(l) V^T also
// holds where eigenvalues coincide.
template <class Logs, class T>
DIFFMPM_HD CovarianceSum covariance_loss(const Logs& logs, const T* covar, double scale, T* adj_covar) {
  Mat3<double> c, V;
  Vec3<double> values;
  for (int k = 0; k < 9; ++k)
    c.m[k] = 0.5 * (static_cast<double>(covar[k]) + static_cast<double>(covar[k % 3 * 3 + k / 3]));
  symmetric_eigen(c, values, V);
  CovarianceSum out{0, 0, 0};
  for (int k = 0; k < 3; ++k)
    if (!(values[k] > 0)) out.invalid = 1, out.lowest = values[k] < out.lowest ? values[k] : out.lowest;
  double l[3], adj_l[3];
  for (int k = 0; k < 3; ++k) l[k] = std::log(values[k]);
  out.value = logs.value(l, adj_l);
  for (int r = 0; r < 3; ++r)
    for (int s = 0; s < 3; ++s) {
      double sum = 0;
      for (int k = 0; k < 3; ++k) sum += V(r, k) * (adj_l[k] / values[k]) * V(s, k);
      adj_covar[3 * r + s] = static_cast<T>(scale * sum);
    }
  return out;
}

DIFFMPM_END_ISA
