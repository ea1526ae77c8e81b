// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/mat3.hpp"

DIFFMPM_BEGIN_ISA

// The Jacobian is evaluated at most this far outside of the image, in units of half its width or height: beyond that the
// linearised perspective grows without bound and smears the Gaussian over the image.
inline constexpr double kJacobianMargin = 0.3;

// Pinhole camera in OpenCV axes (x right, y down, z forward); pixel (row r, column s) has its centre at (s + 1/2, r + 1/2).
template <class S>
struct Camera {
  Mat3<S> R;                      // world to camera
  Vec3<S> t;                      // [m]
  S focal[2];                     // [px]
  S center[2];                    // principal point [px]
  S slope_low[2], slope_high[2];  // range of x/z and y/z for the Jacobian
};

// Largest difference of a fixed entry of the matrices from its value.
inline constexpr double kCameraTolerance = 1e-6;

// Whether matrices are those of a camera: finite, with a last row of (0, 0, 0, 1), without skew and with focal lengths above 0.
DIFFMPM_HD bool is_camera(const double* viewmat, const double* K) {
  const auto is = [](double value, double expected) {
    return value - expected <= kCameraTolerance && expected - value <= kCameraTolerance;
  };
  bool good = is(viewmat[12], 0) && is(viewmat[13], 0) && is(viewmat[14], 0) && is(viewmat[15], 1);
  for (int n = 0; n < 12; ++n) good = good && is(viewmat[n] - viewmat[n], 0);  // finite
  good = good && is(K[1], 0) && is(K[3], 0) && is(K[6], 0) && is(K[7], 0) && is(K[8], 1);
  for (int n = 0; n < 6; ++n) good = good && is(K[n] - K[n], 0);
  return good && K[0] > 0 && K[4] > 0;
}

// From a world-to-camera matrix (4, 4) and an intrinsic matrix (3, 3), row-major, for an image of width x height.
template <class S>
DIFFMPM_HD Camera<S> make_camera(const double* viewmat, const double* K, int width, int height) {
  Camera<S> c;
  for (int r = 0; r < 3; ++r) {
    for (int s = 0; s < 3; ++s) c.R(r, s) = S(viewmat[4 * r + s]);
    c.t[r] = S(viewmat[4 * r + 3]);
  }
  const double size[2] = {double(width), double(height)};
  for (int k = 0; k < 2; ++k) {
    const double f = K[4 * k], o = K[3 * k + 2];
    const double margin = kJacobianMargin * 0.5 * size[k] / f;
    c.focal[k] = S(f), c.center[k] = S(o);
    c.slope_low[k] = S(-o / f - margin), c.slope_high[k] = S((size[k] - o) / f + margin);
  }
  return c;
}

DIFFMPM_END_ISA
