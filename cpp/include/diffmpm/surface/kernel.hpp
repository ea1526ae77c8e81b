// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/core/macros.hpp"

// Kernels of the surface (docs/method.md, section 6): particle density, distance to the surface from it, and the weights of a
// sample.

namespace diffmpm::surface {

// Integral of (1 - r^2)^3 over the unit ball is 64 pi / 315.
inline constexpr double kDensityScale = 315.0 / (64.0 * 3.14159265358979323846);
// Integral of (1 - t^2)^4 over [-1, 1] is 256 / 315.
inline constexpr double kProfileScale = 315.0 / 256.0;

// Eq. 6.1: density kernel times R^3, as a function of u = r^2 / R^2 in [0, 1]. Twice differentiable at its border.
template <class S>
DIFFMPM_HD S density_kernel(const S& u) {
  const S v = S(1) - u;
  return S(kDensityScale) * v * v * v;
}

// d density_kernel / d u.
template <class S>
DIFFMPM_HD S density_kernel_slope(const S& u) {
  const S v = S(1) - u;
  return S(-3 * kDensityScale) * v * v;
}

// Eq. 6.2: fill fraction at depth t R below the boundary of a half-space of particles, t in [-1, 1]: integral of the density kernel
// over the half-space.
template <class S>
DIFFMPM_HD S fill_profile(const S& t) {
  const S q = t * t;
  return S(0.5) + S(kProfileScale) * t *
                      (S(1) - q * (S(4.0 / 3.0) - q * (S(6.0 / 5.0) - q * (S(4.0 / 7.0) - q * S(1.0 / 9.0)))));
}

// Fill fractions are clamped to at least this distance from 0 and 1, where the profile is flat.
inline constexpr double kProfileTail = 0.01;

// Depth t at which fill_profile(t) = fill. Newton's iteration from the chord through the middle stays on one side, because the
// profile is concave above 1/2 and convex below; five steps leave an error of at most 3e-3 at the tails and 1e-9 near 1/2.
template <class S>
DIFFMPM_HD S fill_depth(const S& fill) {
  const S low(kProfileTail), high(1.0 - kProfileTail);
  const S value = fill < low ? low : (fill > high ? high : fill);
  S t = (value - S(0.5)) * S(1.0 / kProfileScale);
  for (int n = 0; n < 5; ++n) {
    const S v = S(1) - t * t;
    t += (value - fill_profile(t)) / (S(kProfileScale) * v * v * v * v);
  }
  return t;
}

// Fraction of the kernel filled at a particle from the distance a R of the weighted mean of its neighbours: at depth t below a
// plane a = kProfileScale (1 - t^2)^5 / (10 fill_profile(t)), which decreases with t and is inverted by bisection; a = 0 gives 1.
// Distinguishes a neighbourhood cut off by the surface, which is one-sided, from a sparse one.
template <class S>
DIFFMPM_HD S fill_of_asymmetry(const S& a) {
  S low(-0.999), high(1);
  for (int n = 0; n < 24; ++n) {
    const S t = S(0.5) * (low + high), v = S(1) - t * t, v2 = v * v;
    (S(0.1 * kProfileScale) * v2 * v2 * v > a * fill_profile(t) ? low : high) = t;
  }
  return fill_profile(high);
}

// Weight kernel K(u) = max(0, 1 - u)^3 of u = r^2 / s^2. Twice differentiable.
template <class S>
DIFFMPM_HD S weight_kernel(const S& u) {
  const S v = S(1) - u;
  return v > S(0) ? v * v * v : S(0);
}
template <class S>
DIFFMPM_HD void weight_kernel_vjp(const S& u, const S& adj_weight, S& adj_u) {
  const S v = S(1) - u;
  if (v > S(0)) adj_u -= S(3) * v * v * adj_weight;
}

// Factor from a sum of weight kernels to points per area: inverse of the integral pi s^2 / 4 of the kernel over the disc.
template <class S>
DIFFMPM_HD S disc_density(const S& inverse_squared_radius) {
  return S(4.0 / 3.14159265358979323846) * inverse_squared_radius;
}

}  // namespace diffmpm::surface
