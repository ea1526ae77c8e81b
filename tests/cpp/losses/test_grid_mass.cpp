// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cmath>
#include <initializer_list>

#include "diffmpm/losses/grid_mass.hpp"

using namespace diffmpm;

namespace {

template <class Loss>
void check_derivative() {
  constexpr double h = 1e-6;  // error of the central difference: near 1e-9
  for (const double m : {1e-3, 0.5, 1.0, 40.0}) {
    for (const double target : {0.0, 0.5, 40.0}) {
      double adj_m, unused;
      Loss::value(m, target, 0.7, adj_m);
      const double numeric =
          (Loss::value(m + h, target, 0.7, unused) - Loss::value(m - h, target, 0.7, unused)) / (2 * h);
      CHECK(adj_m == doctest::Approx(numeric).epsilon(1e-7).scale(1));
    }
  }
}

}  // namespace

TEST_CASE("the derivative of a node's loss") {
  check_derivative<LogMassNode>();
  check_derivative<SquaredMassNode>();
}

TEST_CASE("the log loss is half the squared difference of log(1 + m / m_ref)") {
  double adj_m;
  const double difference = std::log(1 + 3.0 / 0.5) - std::log(1 + 8.0 / 0.5);
  CHECK(LogMassNode::value(3.0, 8.0, 0.5, adj_m) == doctest::Approx(0.5 * difference * difference).epsilon(1e-14));
  CHECK(LogMassNode::value(8.0, 8.0, 0.5, adj_m) == 0);
  CHECK(adj_m == 0);
  float adj;
  CHECK(LogMassNode::value(0.0f, 1e9f, 1.0f, adj) ==
        doctest::Approx(0.5 * std::pow(std::log(1 + 1e9), 2)).epsilon(1e-6));
  CHECK(adj == doctest::Approx(-std::log(1 + 1e9)).epsilon(1e-6));
}
