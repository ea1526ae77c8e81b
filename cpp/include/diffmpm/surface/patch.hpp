// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/mat3.hpp"
#include "diffmpm/math/scalar.hpp"

// Weighted least-squares fit of a quadratic patch to surface samples (docs/method.md, section 6).

namespace diffmpm::surface {

inline constexpr int kPatchTerms = 6;
// Added to the diagonal of the normal equations, as a fraction of the total weight: too few or collinear neighbours give the
// flattest patch instead of a division by zero.
inline constexpr double kPatchRidge = 1e-4;

// Area of a flat patch.
template <class S>
DIFFMPM_HD S patch_area(const S& radius) {
  return S(3.14159265358979323846) * radius * radius;
}

// Two unit vectors that form a right-handed frame with the unit vector n (Duff et al. 2017).
template <class S>
DIFFMPM_HD void tangents(const Vec3<S>& n, Vec3<S>& a, Vec3<S>& b) {
  const S sign = n[2] >= S(0) ? S(1) : S(-1);
  const S f = S(-1) / (sign + n[2]), g = n[0] * n[1] * f;
  a = {{S(1) + sign * n[0] * n[0] * f, sign * g, -sign * n[0]}};
  b = {{g, sign + n[1] * n[1] * f, -n[1]}};
}

// Normal equations of height = c . (1, u, v, u^2/2, u v, v^2/2), with lengths in units of the radius of the patch.
template <class S>
struct Patch {
  S matrix[kPatchTerms * (kPatchTerms + 1) / 2] = {};  // lower triangle, row by row
  S rhs[kPatchTerms] = {};

  DIFFMPM_HD void add(const S& u, const S& v, const S& height, const S& weight) {
    const S basis[kPatchTerms] = {S(1), u, v, S(0.5) * u * u, u * v, S(0.5) * v * v};
    int n = 0;
    for (int i = 0; i < kPatchTerms; ++i) {
      const S w = weight * basis[i];
      rhs[i] += w * height;
      for (int j = 0; j <= i; ++j) matrix[n++] += w * basis[j];
    }
  }

  // Whether the total weight is zero.
  DIFFMPM_HD bool empty() const { return !(matrix[0] > S(0)); }

  // Writes the coefficients, by a Cholesky decomposition in place.
  DIFFMPM_HD void solve(S* c) {
    const auto at = [&](int i, int j) -> S& { return matrix[i * (i + 1) / 2 + j]; };
    const S ridge = S(kPatchRidge) * at(0, 0);
    for (int i = 0; i < kPatchTerms; ++i) {
      at(i, i) += ridge;
      for (int j = 0; j <= i; ++j) {
        S sum = at(i, j);
        for (int k = 0; k < j; ++k) sum -= at(i, k) * at(j, k);
        at(i, j) = i == j ? vsqrt(sum) : sum / at(j, j);
      }
    }
    for (int i = 0; i < kPatchTerms; ++i) {
      c[i] = rhs[i];
      for (int k = 0; k < i; ++k) c[i] -= at(i, k) * c[k];
      c[i] /= at(i, i);
    }
    for (int i = kPatchTerms - 1; i >= 0; --i) {
      for (int k = i + 1; k < kPatchTerms; ++k) c[i] -= at(k, i) * c[k];
      c[i] /= at(i, i);
    }
  }
};

// Variance of the density kernel along an axis, over R^2.
inline constexpr double kKernelVariance = 1.0 / 11.0;

// Distance of the boundary outside of the level set: the blur moves a boundary of mean curvature H = (k1 + k2) / 2 by -variance H
// towards its centre of curvature. `laplacian` [1/m] of the height over the tangent plane is -2 H.
template <class S>
DIFFMPM_HD S blur_shift(const S& radius, const S& laplacian) {
  return S(-0.5 * kKernelVariance) * radius * radius * laplacian;
}

}  // namespace diffmpm::surface
