// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <limits>

#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/mat3.hpp"
#include "diffmpm/math/scalar.hpp"

// Polar decomposition F = R S with det R = +1, for det F > 0, and its adjoint (docs/method.md, section 3).

DIFFMPM_BEGIN_ISA

// Newton's iteration converges quadratically from any F with det F > 0, in at most nine scaled steps in double precision
// (Higham 1986); the bound is reached only for input that is not finite.
inline constexpr int kPolarIterations = 24;

// Ratio det(tr(S) I - S) / tr(S)^3 below which the adjoint has no digits left.
template <class T>
inline constexpr T kDegenerate = T(16) * std::numeric_limits<T>::epsilon();

// Rotation R of F. X <- (g X + X^-T / g) / 2 with g = sqrt(|X^-1|_F / |X|_F), until the change is below sqrt(eps): by
// quadratic convergence the error is then below eps.
template <class S>
DIFFMPM_HD Mat3<S> polar_rotation(const Mat3<S>& F) {
  using T = ScalarOf<S>;
  const S tolerance(T(0.25) * std::numeric_limits<T>::epsilon());
  Mat3<S> X = F;
  for (int n = 0; n < kPolarIterations; ++n) {
    const Mat3<S> cof = cofactor(X);
    const S inv_det = S(1) / determinant(X, cof);
    const S g2 = vsqrt(contract(cof, cof) * inv_det * inv_det / contract(X, X));
    const S g = vsqrt(g2);
    const S a = S(0.5) * g, b = S(0.5) * inv_det / g;
    S change(0);
    for (int k = 0; k < 9; ++k) {
      const S next = a * X.m[k] + b * cof.m[k];
      const S d = next - X.m[k];
      change += d * d;
      X.m[k] = next;
    }
    if (!any(change > tolerance)) break;
  }
  return X;
}

// Eq. 3.2: adjoint of R(F). Eq. 3.1 is its differential dR = R [w]_x, (tr(S) I - S) w = axl(R^T dF - dF^T R):
//   adj_F += R [y]_x,  (tr(S) I - S) y = axl(R^T adj_R - adj_R^T R).
// The matrix is singular only where two singular values sum to zero. `min_gap` is lowered to the ratio
// det(tr(S) I - S) / tr(S)^3; the caller compares it with kDegenerate.
template <class S>
DIFFMPM_HD void polar_rotation_vjp(const Mat3<S>& F, const Mat3<S>& R, const Mat3<S>& adj_R, Mat3<S>& adj_F,
                                   S& min_gap) {
  const Mat3<S> stretch = symmetric(mul_tn(R, F));
  const S tr = trace(stretch);
  Mat3<S> K = S(-1) * stretch;
  K.add_diagonal(tr);
  const Mat3<S> cof = cofactor(K);
  const S det = determinant(K, cof);
  const S ratio = det / (tr * tr * tr);
  min_gap = select(ratio < min_gap, ratio, min_gap);
  const Mat3<S> M = mul_tn(R, adj_R);
  const Vec3<S> axl = {{M(2, 1) - M(1, 2), M(0, 2) - M(2, 0), M(1, 0) - M(0, 1)}};
  const Vec3<S> y = (S(1) / det) * mul(cof, axl);
  const S zero(0);
  const Mat3<S> cross = {{zero, -y[2], y[1], y[2], zero, -y[0], -y[1], y[0], zero}};
  adj_F += mul(R, cross);
}

DIFFMPM_END_ISA
