// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/math/mat3.hpp"
#include "diffmpm/math/scalar.hpp"
#include "diffmpm/mpm/constants.hpp"

// Grid to particle, (6)-(9) of docs/method.md: from v' = sum w v_i and Craw = D^-1 sum w v_i d_i^T,
//   C' = Craw - damping sym(Craw),  F' = (1 - s)(I + dt C') F~ + s F,  x' = x + dt v',  G' = (I + dt C') G,
// with F' rescaled to det F' = det(F) det(I + dt C') where volume is carried.

DIFFMPM_BEGIN_ISA

template <class S, class T>
DIFFMPM_HD Mat3<S> damp(const StepConstants<T>& c, const Mat3<S>& C) {
  return c.damping == T(0) ? C : C - S(c.damping) * symmetric(C);
}

// I + dt C'
template <class S, class T>
DIFFMPM_HD Mat3<S> step_gradient(const StepConstants<T>& c, const Mat3<S>& C) {
  Mat3<S> E = S(c.dt) * C;
  return E.add_diagonal(S(1));
}

// F' before the volume is carried.
template <class S, class T>
DIFFMPM_HD Mat3<S> blend_deformation(const StepConstants<T>& c, const Mat3<S>& E, const Mat3<S>& F,
                                     const Mat3<S>& F_control) {
  const Mat3<S> moved = mul(E, F_control);
  return c.smoothing == T(0) ? moved : S(T(1) - c.smoothing) * moved + S(c.smoothing) * F;
}

// F' from E = I + dt C', F and F~ = F + control.
template <class S, class T>
DIFFMPM_HD Mat3<S> update_deformation(const StepConstants<T>& c, const Mat3<S>& E, const Mat3<S>& F,
                                      const Mat3<S>& F_control) {
  const Mat3<S> blended = blend_deformation(c, E, F, F_control);
  if (!c.volume_carried) return blended;
  return cube_root(determinant(F) * determinant(E) / determinant(blended)) * blended;
}

// Adjoint; adj_F holds the direct path through the unsmoothed F, adj_F_control the path through F~. All accumulate.
template <class S, class T>
DIFFMPM_HD void update_deformation_vjp(const StepConstants<T>& c, const Mat3<S>& E, const Mat3<S>& F,
                                       const Mat3<S>& F_control, const Mat3<S>& adj_out, Mat3<S>& adj_E, Mat3<S>& adj_F,
                                       Mat3<S>& adj_F_control) {
  Mat3<S> adj_blended = adj_out;
  if (c.volume_carried) {
    const Mat3<S> blended = blend_deformation(c, E, F, F_control);
    const Mat3<S> cof_E = cofactor(E), cof_F = cofactor(F), cof_B = cofactor(blended);
    const S det_E = determinant(E, cof_E), det_F = determinant(F, cof_F), det_B = determinant(blended, cof_B);
    const S scale = cube_root(det_F * det_E / det_B);
    // d scale = scale / 3 (d log det F + d log det E - d log det blended)
    const S adj_log = scale * contract(adj_out, blended) * S(T(1) / T(3));
    adj_E += (adj_log / det_E) * cof_E;
    adj_F += (adj_log / det_F) * cof_F;
    adj_blended = scale * adj_out - (adj_log / det_B) * cof_B;
  }
  const S moved(T(1) - c.smoothing);
  adj_E += moved * mul_nt(adj_blended, F_control);
  adj_F_control += moved * mul_tn(E, adj_blended);
  if (c.smoothing != T(0)) adj_F += S(c.smoothing) * adj_blended;
}

DIFFMPM_END_ISA
