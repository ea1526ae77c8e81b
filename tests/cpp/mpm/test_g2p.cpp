// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <initializer_list>

#include "diffmpm/mpm/g2p.hpp"
#include "math/random_matrix.hpp"
#include "mpm/step_example.hpp"

using namespace diffmpm;
using namespace diffmpm::testing;

TEST_CASE("the carried volume is the product of the old volume and the volume ratio of the step") {
  const StepConstants<double> c = step_constants<double>(example_params());
  const Mat3<double> F = random_deformation(1), F_control = random_deformation(2);
  const Mat3<double> E = step_gradient(c, random_matrix(3));
  CHECK(determinant(update_deformation(c, E, F, F_control)) ==
        doctest::Approx(determinant(F) * determinant(E)).epsilon(1e-13));
}

TEST_CASE("damping removes its fraction of the symmetric part alone") {
  const StepConstants<double> c = step_constants<double>(example_params());
  const Mat3<double> C = random_matrix(4), damped = damp(c, C);
  CHECK(distance(symmetric(damped), (1 - c.damping) * symmetric(C)) < 1e-15);
  CHECK(distance(damped - symmetric(damped), C - symmetric(C)) < 1e-15);
}

TEST_CASE("the adjoint of the deformation update is the transpose of its derivative") {
  constexpr double h = 1e-5;  // error of the central difference: near 1e-9
  for (const bool volume_carried : {false, true}) {
    for (const double smoothing : {0.0, 0.3}) {
      MpmParams params = example_params();
      params.volume_carried = volume_carried, params.smoothing = smoothing;
      const StepConstants<double> c = step_constants<double>(params);
      for (std::uint64_t n = 0; n < 30; n += 3) {
        const Mat3<double> E = random_deformation(n), F = random_deformation(n + 1),
                           control = random_deformation(n + 2);
        const Mat3<double> dE = random_matrix(n + 100), dF = random_matrix(n + 101), dc = random_matrix(n + 102);
        const Mat3<double> adj_out = random_matrix(n + 200), zero = Mat3<double>::zero();
        Mat3<double> adj_E = zero, adj_F = zero, adj_control = zero;
        update_deformation_vjp(c, E, F, control, adj_out, adj_E, adj_F, adj_control);
        const auto along = [&](double s) { return update_deformation(c, E + s * dE, F + s * dF, control + s * dc); };
        const double numeric = contract(adj_out, (0.5 / h) * (along(h) - along(-h)));
        const double analytic = contract(adj_E, dE) + contract(adj_F, dF) + contract(adj_control, dc);
        CHECK(analytic == doctest::Approx(numeric).epsilon(1e-7).scale(1));
      }
    }
  }
}
