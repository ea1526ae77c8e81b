// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/mat3.hpp"
#include "diffmpm/math/scalar.hpp"

DIFFMPM_BEGIN_ISA

// Jacobi rotations converge quadratically; six sweeps reach double precision for any symmetric 3x3 matrix.
inline constexpr int kEigenSweeps = 6;

// Eigenvalues and eigenvectors of a symmetric matrix: a = V diag(values) V^T with a rotation V. Eigenvalues may coincide.
template <class S>
DIFFMPM_HD void symmetric_eigen(Mat3<S> a, Vec3<S>& values, Mat3<S>& V) {
  V = Mat3<S>::identity();
  for (int sweep = 0; sweep < kEigenSweeps; ++sweep)
    for (int p = 0; p < 2; ++p)
      for (int q = p + 1; q < 3; ++q) {
        if (a(p, q) == S(0)) continue;
        const S theta = S(0.5) * (a(q, q) - a(p, p)) / a(p, q);
        const S size = theta < S(0) ? -theta : theta;
        const S t = (theta < S(0) ? S(-1) : S(1)) / (size + vsqrt(size * size + S(1)));
        const S c = S(1) / vsqrt(t * t + S(1)), s = t * c;
        Mat3<S> J = Mat3<S>::identity();
        J(p, p) = c, J(q, q) = c, J(p, q) = s, J(q, p) = -s;
        a = mul_tn(J, mul(a, J));
        V = mul(V, J);
      }
  values = {{a(0, 0), a(1, 1), a(2, 2)}};
}

DIFFMPM_END_ISA
