// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/eig3.hpp"
#include "diffmpm/math/mat3.hpp"
#include "diffmpm/math/scalar.hpp"

// Lengths and areas of a surface relative to its rest state under a deformation F, for det F > 0.

namespace diffmpm::surface {

// Rest area of a unit area with normal n: |F^T n| / det F (Nanson).
template <class S>
DIFFMPM_HD S rest_area(const Mat3<S>& F, const Vec3<S>& n) {
  const Vec3<S> a = mul_tn(F, n);
  return vsqrt(dot(a, a)) / determinant(F);
}

// Rest normal of a surface whose normal is n: F^T n over its length.
template <class S>
DIFFMPM_HD Vec3<S> rest_normal(const Mat3<S>& F, const Vec3<S>& n) {
  const Vec3<S> a = mul_tn(F, n);
  return (S(1) / vsqrt(dot(a, a))) * a;
}

// Metric Q = F^-T F^-1 / rest_area: d^T Q d are squared distances in the rest frame, scaled so that areas of the surface are
// unchanged. Points evenly spaced in this metric are evenly covered by Gaussians of covariance F Sigma0 F^T.
template <class S>
DIFFMPM_HD Mat3<S> surface_metric(const Mat3<S>& F, const Vec3<S>& n) {
  const Mat3<S> inv = inverse(F);
  return (S(1) / rest_area(F, n)) * mul_tn(inv, inv);
}

// Symmetric matrix L with the eigenvectors of F F^T that clamps the singular values of L F to [1 / sqrt(limit), sqrt(limit)], in
// units in which F preserves the area of the surface with normal n. The identity where none is outside.
template <class S>
DIFFMPM_HD Mat3<S> limit_stretch(const Mat3<S>& F, const Vec3<S>& n, const S& limit) {
  Vec3<S> square;
  Mat3<S> V;
  symmetric_eigen(rest_area(F, n) * mul_nt(F, F), square, V);
  Mat3<S> L = Mat3<S>::identity();
  for (int k = 0; k < 3; ++k) {
    const S least = S(1) / limit;
    if (square[k] >= least && square[k] <= limit) continue;
    const S factor = vsqrt((square[k] < least ? least : limit) / square[k]) - S(1);
    for (int r = 0; r < 3; ++r)
      for (int s = 0; s < 3; ++s) L(r, s) += factor * V(r, k) * V(s, k);
  }
  return L;
}

// I - (1 - flatness) n n^T: a unit ball flattened along the unit normal n.
template <class S>
DIFFMPM_HD Mat3<S> flattened(const Vec3<S>& n, const S& flatness) {
  return Mat3<S>::identity() - outer_product((S(1) - flatness) * n, n);
}

}  // namespace diffmpm::surface
