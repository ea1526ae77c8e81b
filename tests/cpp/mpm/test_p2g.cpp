// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "diffmpm/mpm/p2g.hpp"
#include "math/random_matrix.hpp"
#include "mpm/step_example.hpp"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

Vec3<double> random_vector(std::uint64_t stream) {
  const Mat3<double> a = random_matrix(stream);
  return {{a.m[0], a.m[1], a.m[2]}};
}

Particle<double> particle(std::uint64_t n) {
  Mat3<double> Fp_inv = 0.1 * random_matrix(n + 1);
  Fp_inv.add_diagonal(1.0);
  return {1.3, 0.4, 1.7, 0.9, Fp_inv, random_vector(n + 2), random_matrix(n + 3), random_deformation(n)};
}

// The particle with all of its inputs changed by h along a fixed direction.
Particle<double> moved(Particle<double> p, double h) {
  p.mass += 0.3 * h, p.volume -= 0.2 * h, p.lam += 0.7 * h, p.mu -= 0.4 * h;
  p.Fp_inv += h * random_matrix(901), p.C += h * random_matrix(902), p.F += h * random_matrix(903);
  p.v += h * random_vector(904);
  return p;
}

template <bool kRestState>
void check_adjoint() {
  const StepConstants<double> c = step_constants<double>(example_params());
  constexpr double h = 1e-5;  // error of the central difference: near 1e-9
  for (std::uint64_t n = 0; n < 80; n += 4) {
    const Particle<double> p = particle(n);
    StressSaved<double> saved, unused;
    particle_momentum<kRestState>(c, p, saved);
    const Momentum<double> adj_out = {random_vector(n + 500), random_matrix(n + 501)};
    ParticleAdjoint<double> adj{};
    double min_gap = 1;
    particle_momentum_vjp<kRestState>(c, p, saved, adj_out, adj, min_gap);
    const Momentum<double> high = particle_momentum<kRestState>(c, moved(p, h), unused);
    const Momentum<double> low = particle_momentum<kRestState>(c, moved(p, -h), unused);
    const double numeric = (0.5 / h) * (dot(adj_out.b, high.b - low.b) + contract(adj_out.A, high.A - low.A));
    double analytic = 0.3 * adj.mass - 0.2 * adj.volume + 0.7 * adj.lam - 0.4 * adj.mu;
    analytic += contract(adj.C, random_matrix(902)) + contract(adj.F, random_matrix(903));
    analytic += dot(adj.v, random_vector(904));
    if (kRestState) analytic += contract(adj.Fp_inv, random_matrix(901));
    CHECK(analytic == doctest::Approx(numeric).epsilon(1e-7).scale(1));
  }
}

}  // namespace

TEST_CASE("the adjoint of a particle's momentum is the transpose of its derivative") {
  check_adjoint<false>();
  check_adjoint<true>();
}

TEST_CASE("the map from C to the viscous stress is self-adjoint") {
  const StepConstants<double> c = step_constants<double>(example_params());
  const Mat3<double> a = random_matrix(1), b = random_matrix(2);
  const double product = contract(a, viscous_stress(c, b));
  CHECK(product == doctest::Approx(contract(b, viscous_stress(c, a))).epsilon(1e-13));
}
