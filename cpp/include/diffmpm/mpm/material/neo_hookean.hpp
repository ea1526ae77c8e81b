// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/math/mat3.hpp"

// Eq. 2.4: stable neo-Hookean elasticity (Smith et al. 2018) without the origin barrier:
//   psi = mu / 2 (tr F^T F - 3) + lam / 2 (J - a)^2,  a = 1 + mu / lam,  tau = mu F F^T + lam (J - a) J I.
// lam, mu [Pa]; tau [Pa]. Written with lam (J - a) = lam (J - 1) - mu, so lam = 0 is allowed.

DIFFMPM_BEGIN_ISA

struct NeoHookean {
  template <class S>
  static DIFFMPM_HD Mat3<S> stress(const Mat3<S>& F, const S& lam, const S& mu, Mat3<S>&) {
    const S J = determinant(F);
    Mat3<S> tau = mu * mul_nt(F, F);
    return tau.add_diagonal((lam * (J - S(1)) - mu) * J);
  }

  template <class S>
  static DIFFMPM_HD void stress_vjp(const Mat3<S>& F, const S& lam, const S& mu, const Mat3<S>&, const Mat3<S>& adj_tau,
                                    Mat3<S>& adj_F, S& adj_lam, S& adj_mu, S&) {
    const Mat3<S> cof = cofactor(F);
    const S J = determinant(F, cof), tr = trace(adj_tau);
    const Mat3<S> TF = mul(adj_tau, F);
    adj_F += mu * (TF + mul_tn(adj_tau, F));
    adj_F += ((lam * (S(2) * J - S(1)) - mu) * tr) * cof;
    adj_lam += (J - S(1)) * J * tr;
    adj_mu += contract(TF, F) - J * tr;
  }
};

DIFFMPM_END_ISA
