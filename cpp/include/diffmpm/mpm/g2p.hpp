// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/math/functions.hpp"
#include "diffmpm/math/mat3.hpp"
#include "diffmpm/mpm/constants.hpp"
#include "diffmpm/mpm/p2g.hpp"

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

// Eq. 7: F' before the volume is carried.
template <class S, class T>
DIFFMPM_HD Mat3<S> blend_deformation(const StepConstants<T>& c, const Mat3<S>& E, const Mat3<S>& F,
                                     const Mat3<S>& F_control) {
  const Mat3<S> moved = mul(E, F_control);
  return c.smoothing == T(0) ? moved : S(T(1) - c.smoothing) * moved + S(c.smoothing) * F;
}

// Eq. 2.2: F' from E = I + dt C', F and F~ = F + control, its determinant corrected where volume is carried.
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

// Eq. 9: G' = E G.
template <class S>
DIFFMPM_HD Mat3<S> carry_motion(const Mat3<S>& E, const Mat3<S>& G) {
  return mul(E, G);
}

// Adjoint; adj_E is written.
template <class S>
DIFFMPM_HD Mat3<S> carry_motion_vjp(const Mat3<S>& E, const Mat3<S>& G, const Mat3<S>& adj_out, Mat3<S>& adj_E) {
  adj_E = mul_nt(adj_out, G);
  return mul_tn(E, adj_out);
}

// State after the step, and E = I + dt C', which carries the motion gradient.
template <class S>
struct Advanced {
  Vec3<S> x, v;
  Mat3<S> C, F, E;
};

// Eq. 6 and Eq. 8 from v' and M = sum w v_i d_i^T, and the new F.
template <class S, class T>
DIFFMPM_HD Advanced<S> advance(const StepConstants<T>& c, const Vec3<S>& v, const Mat3<S>& M, const Vec3<S>& x,
                               const Mat3<S>& F, const Mat3<S>& F_control) {
  Advanced<S> out;
  out.v = v;
  out.x = x + S(c.dt) * v;
  out.C = damp(c, S(c.inv_D) * M);
  out.E = step_gradient(c, out.C);
  out.F = update_deformation(c, out.E, F, F_control);
  return out;
}

// Cotangents b of v' and A of M, which the nodes receive as w (b + A d_i), and those of x, F and F~; x includes the path through
// the offsets d_i = x_i - x, but not that through the weights.
template <class S>
struct AdvanceAdjoint {
  Vec3<S> b, x;
  Mat3<S> A, F, F_control;
};

// Adjoint, from the cotangents of the state after the step; v and E belong to that state.
template <class S, class T>
DIFFMPM_HD AdvanceAdjoint<S> advance_vjp(const StepConstants<T>& c, const Mat3<S>& F, const Mat3<S>& F_control,
                                         const Vec3<S>& v, const Mat3<S>& E, const Advanced<S>& adj_out) {
  AdvanceAdjoint<S> adj;
  Mat3<S> adj_E = adj_out.E;
  adj.F = adj.F_control = Mat3<S>::zero();
  update_deformation_vjp(c, E, F, F_control, adj_out.F, adj_E, adj.F, adj.F_control);
  adj.A = S(c.inv_D) * damp(c, adj_out.C + S(c.dt) * adj_E);
  adj.b = adj_out.v + S(c.dt) * adj_out.x;
  adj.x = add_offsets_vjp(adj_out.x, adj.A, v);
  return adj;
}

// Sets `bad` to one where F' is inverted or a value is not finite; `extra` is a further sum to check.
template <class S>
DIFFMPM_HD void check_advanced(const Advanced<S>& out, const S& extra, S& bad) {
  using T = ScalarOf<S>;
  const S zero(T(0)), one(T(1));
  const S finite = dot(out.v, out.v) + contract(out.C, out.C) + contract(out.F, out.F) + extra;
  bad = select(finite * zero == zero, bad, one);
  bad = select(determinant(out.F) > zero, bad, one);
}

DIFFMPM_END_ISA
