// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/mpm/constants.hpp"
#include "diffmpm/mpm/material/list.hpp"

// Particle to grid, (1)-(4) of docs/method.md. A particle adds to node i, at offset d_i = x_i - x_p,
//   m_i += w_ip m,   q_i += w_ip (b + A d_i),   b = (1 - dt drag) m v,   A = -dt V D^-1 tau + m C.
// The functions here compute (m, b, A) of a particle and their adjoint; the drivers scatter them.

DIFFMPM_BEGIN_ISA

// Properties and state of a particle, or of a pack of particles.
template <class S>
struct Particle {
  S mass, volume, lam, mu;
  Mat3<S> Fp_inv;  // read only where the rest state is not the identity
  Vec3<S> v;
  Mat3<S> C;
  Mat3<S> F;  // with the control: F~ of (1)
};

// Eq. 1: F~ = F + control. The adjoint of both is the cotangent of F~.
template <class S>
DIFFMPM_HD Mat3<S> apply_control(const Mat3<S>& F, const Mat3<S>& control) {
  return F + control;
}

template <class S>
struct Momentum {
  Vec3<S> b;
  Mat3<S> A;
};

// Forward values reused by the adjoint.
template <class S>
struct StressSaved {
  Mat3<S> material;
  Mat3<S> tau;
};

template <class S>
struct ParticleAdjoint {
  S mass, volume, lam, mu, keep_momentum;
  Mat3<S> Fp_inv;
  Vec3<S> v;
  Mat3<S> C;
  Mat3<S> F;
};

// Eq. 2.1: viscous part of the Kirchhoff stress, 2 eta dev(sym C) + zeta tr(C) I. Self-adjoint as a map.
template <class S, class T>
DIFFMPM_HD Mat3<S> viscous_stress(const StepConstants<T>& c, const Mat3<S>& C) {
  const S tr = trace(C);
  Mat3<S> tau = S(T(2) * c.shear_viscosity) * symmetric(C);
  return tau.add_diagonal(S(c.bulk_viscosity - c.shear_viscosity * T(2) / T(3)) * tr);
}

// Adds to adj_x the path through the offsets d_i = x_i - x of sum w (b + A d_i).
template <class S>
DIFFMPM_HD Vec3<S> add_offsets_vjp(const Vec3<S>& adj_x, const Mat3<S>& A, const Vec3<S>& adj_b) {
  return adj_x - mul_tn(A, adj_b);
}

template <class T>
DIFFMPM_HD bool has_viscosity(const StepConstants<T>& c) {
  return c.shear_viscosity != T(0) || c.bulk_viscosity != T(0);
}

// Eq. 2 and Eq. 3: elastic deformation gradient and Kirchhoff stress; affine momentum A and momentum b.
template <bool kRestState, class S, class T>
DIFFMPM_HD Momentum<S> particle_momentum(const StepConstants<T>& c, const Particle<S>& p, StressSaved<S>& saved) {
  const Mat3<S> Fe = kRestState ? mul(p.F, p.Fp_inv) : p.F;
  visit_material(c.material, [&](auto material) { saved.tau = material.stress(Fe, p.lam, p.mu, saved.material); });
  if (has_viscosity(c)) saved.tau += viscous_stress(c, p.C);
  Momentum<S> out;
  out.b = (S(c.keep_momentum) * p.mass) * p.v;
  out.A = (S(-c.dt * c.inv_D) * p.volume) * saved.tau + p.mass * p.C;
  return out;
}

// Sets `bad` to one where F~ is inverted or the momentum is not finite.
template <class S>
DIFFMPM_HD void check_momentum(const Particle<S>& p, const Momentum<S>& q, S& bad) {
  using T = ScalarOf<S>;
  const S zero(T(0)), one(T(1));
  bad = select(determinant(p.F) > zero, bad, one);
  // Reject before scattering: on the grid a NaN can no longer be traced to its particle.
  bad = select((dot(q.b, q.b) + contract(q.A, q.A)) * zero == zero, bad, one);
}

// Adjoint. adj (v, C, F, properties) is accumulated.
template <bool kRestState, class S, class T>
DIFFMPM_HD void particle_momentum_vjp(const StepConstants<T>& c, const Particle<S>& p, const StressSaved<S>& saved,
                                      const Momentum<S>& adj_out, ParticleAdjoint<S>& adj, S& min_gap) {
  const S keep(c.keep_momentum), factor(-c.dt * c.inv_D);
  const S v_adj_b = dot(p.v, adj_out.b);
  adj.v += (keep * p.mass) * adj_out.b;
  adj.mass += keep * v_adj_b + contract(p.C, adj_out.A);
  adj.keep_momentum += p.mass * v_adj_b;
  adj.C += p.mass * adj_out.A;
  adj.volume += factor * contract(saved.tau, adj_out.A);
  const Mat3<S> adj_tau = (factor * p.volume) * adj_out.A;
  if (has_viscosity(c)) adj.C += viscous_stress(c, adj_tau);
  const Mat3<S> Fe = kRestState ? mul(p.F, p.Fp_inv) : p.F;
  Mat3<S> adj_Fe = Mat3<S>::zero();
  visit_material(c.material, [&](auto material) {
    material.stress_vjp(Fe, p.lam, p.mu, saved.material, adj_tau, adj_Fe, adj.lam, adj.mu, min_gap);
  });
  if constexpr (kRestState) {
    adj.F += mul_nt(adj_Fe, p.Fp_inv);
    adj.Fp_inv += mul_tn(p.F, adj_Fe);
  } else {
    adj.F += adj_Fe;
  }
}

DIFFMPM_END_ISA
