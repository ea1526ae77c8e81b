// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "diffmpm/mpm/material/list.hpp"
#include "math/random_matrix.hpp"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

constexpr double kLam = 1.7, kMu = 0.9, kStep = 1e-5;  // error of the central differences: near 1e-9

// Deformation gradients: the identity, equal singular values, a rotated one and a nearly inverted one among them.
Mat3<double> deformation(std::uint64_t n) {
  switch (n) {
    case 0: return Mat3<double>::identity();
    case 1: return Mat3<double>::diagonal(1.5);
    case 2: return {{0, -2, 0, 2, 0, 0, 0, 0, 2}};
    case 3: return {{0.02, 0, 0, 0, 1, 0, 0, 0, 1}};
    default: return random_deformation(n);
  }
}

struct FixedCorotatedEnergy {
  static double value(const Mat3<double>& F) {
    const Mat3<double> d = F - polar_rotation(F);
    const double J = determinant(F);
    return kMu * contract(d, d) + 0.5 * kLam * (J - 1) * (J - 1);
  }
};

struct NeoHookeanEnergy {
  static double value(const Mat3<double>& F) {
    const double J = determinant(F), excess = J - 1 - kMu / kLam;
    return 0.5 * kMu * (contract(F, F) - 3) + 0.5 * kLam * excess * excess;
  }
};

// tau = P F^T with P the derivative of the energy: tau : (D F^-1) is the derivative of the energy along D.
template <class Model, class Energy>
void check_stress() {
  for (std::uint64_t n = 0; n < 40; ++n) {
    const Mat3<double> F = deformation(n), direction = random_matrix(n + 50);
    Mat3<double> saved;
    const Mat3<double> tau = Model::stress(F, kLam, kMu, saved);
    const Mat3<double> cof = cofactor(F);
    const Mat3<double> rate = (1 / determinant(F, cof)) * mul_nt(direction, cof);
    const double numeric = (Energy::value(F + kStep * direction) - Energy::value(F - kStep * direction)) / (2 * kStep);
    CHECK(contract(tau, rate) == doctest::Approx(numeric).epsilon(1e-7).scale(1));
    CHECK(distance(tau, symmetric(tau)) < 1e-14 * (1 + std::sqrt(contract(tau, tau))));
  }
}

template <class Model>
void check_adjoint() {
  for (std::uint64_t n = 0; n < 40; ++n) {
    const Mat3<double> F = deformation(n), direction = random_matrix(n + 50), adj_tau = random_matrix(n + 90);
    const double d_lam = 0.3, d_mu = -0.7;
    Mat3<double> saved, unused, adj_F = Mat3<double>::zero();
    double adj_lam = 0, adj_mu = 0, min_gap = 1;
    Model::stress(F, kLam, kMu, saved);
    Model::stress_vjp(F, kLam, kMu, saved, adj_tau, adj_F, adj_lam, adj_mu, min_gap);
    const auto along = [&](double h) {
      return Model::stress(F + h * direction, kLam + h * d_lam, kMu + h * d_mu, unused);
    };
    const Mat3<double> derivative = (0.5 / kStep) * (along(kStep) - along(-kStep));
    const double analytic = contract(adj_F, direction) + adj_lam * d_lam + adj_mu * d_mu;
    CHECK(analytic == doctest::Approx(contract(adj_tau, derivative)).epsilon(1e-7).scale(1));
  }
}

}  // namespace

TEST_CASE("stress is the derivative of the energy") {
  check_stress<FixedCorotated, FixedCorotatedEnergy>();
  check_stress<NeoHookean, NeoHookeanEnergy>();
}

TEST_CASE("the adjoint of the stress is the transpose of its derivative") {
  check_adjoint<FixedCorotated>();
  check_adjoint<NeoHookean>();
}

TEST_CASE("a body at rest has no stress") {
  Mat3<double> saved;
  const Mat3<double> none = Mat3<double>::zero(), I = Mat3<double>::identity();
  CHECK(distance(FixedCorotated::stress(I, kLam, kMu, saved), none) == 0);
  CHECK(distance(NeoHookean::stress(I, kLam, kMu, saved), none) == 0);
}
