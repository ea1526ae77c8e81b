// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/math/polar3.hpp"

// Eq. 2.3: fixed corotated elasticity (Stomakhin et al. 2012):
//   psi = mu sum (sigma_k - 1)^2 + lam / 2 (J - 1)^2,  tau = 2 mu (F - R) F^T + lam (J - 1) J I.
// lam, mu [Pa]; tau [Pa]. The rotation R is what the adjoint reuses.

DIFFMPM_BEGIN_ISA

struct FixedCorotated {
  template <class S>
  static DIFFMPM_HD Mat3<S> stress(const Mat3<S>& F, const S& lam, const S& mu, Mat3<S>& saved) {
    saved = polar_rotation(F);
    Mat3<S> tau = mul_nt(F - saved, F);
    const S J = determinant(F);
    for (int n = 0; n < 9; ++n) tau.m[n] = S(2) * mu * tau.m[n];
    return tau.add_diagonal(lam * (J - S(1)) * J);
  }

  template <class S>
  static DIFFMPM_HD void stress_vjp(const Mat3<S>& F, const S& lam, const S& mu, const Mat3<S>& saved,
                                    const Mat3<S>& adj_tau, Mat3<S>& adj_F, S& adj_lam, S& adj_mu, S& min_gap) {
    const Mat3<S> cof = cofactor(F);
    const S J = determinant(F, cof), tr = trace(adj_tau);
    const Mat3<S> strain = F - saved;
    const Mat3<S> TF = mul(adj_tau, F);
    adj_F += S(2) * mu * (TF + mul_tn(adj_tau, strain));
    polar_rotation_vjp(F, saved, S(-2) * mu * TF, adj_F, min_gap);
    adj_F += (lam * (S(2) * J - S(1)) * tr) * cof;
    adj_lam += (J - S(1)) * J * tr;
    adj_mu += S(2) * contract(TF, strain);
  }
};

DIFFMPM_END_ISA
