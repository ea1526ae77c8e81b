// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "diffmpm/mpm/bspline.hpp"

using namespace diffmpm;

namespace {

// Weights sum to one, reproduce linear functions, have a second moment of 1 / inv_D, and dw is their derivative.
template <Basis B>
void check_weights(double inv_D) {
  constexpr int kNodes = BSpline<B>::kNodes;
  for (int k = 0; k < 101; ++k) {
    const double s = 5.0 + 0.01 * k, h = 1e-6;
    double base, e, w[kNodes], dw[kNodes], low[kNodes], high[kNodes], unused[kNodes];
    locate<B>(s, base, e);
    BSpline<B>::weights(e, w, dw);
    for (int a = 0; a < BSpline<B>::kNodes; ++a)
      CHECK(typename BSpline<B>::template NodeWeight<double>(a)(e) == doctest::Approx(w[a]).epsilon(1e-14));
    BSpline<B>::weights(e - h, low, unused);
    BSpline<B>::weights(e + h, high, unused);
    double sum = 0, first = 0, second = 0, slope = 0;
    for (int a = 0; a < kNodes; ++a) {
      const double d = base + a - s;
      sum += w[a], first += w[a] * d, second += w[a] * d * d, slope += dw[a];
      CHECK(w[a] >= -1e-16);
      CHECK(dw[a] == doctest::Approx((high[a] - low[a]) / (2 * h)).epsilon(1e-8).scale(1));
    }
    CHECK(sum == doctest::Approx(1).epsilon(1e-14));
    CHECK(std::abs(first) < 1e-14);
    CHECK(second == doctest::Approx(1 / inv_D).epsilon(1e-13));
    CHECK(std::abs(slope) < 1e-14);
  }
}

// A particle on a node, or on a face between two cells, located in either cell, with the rounding of its coordinate.
template <Basis B, class T>
void check_weights_on_nodes() {
  constexpr int kNodes = BSpline<B>::kNodes;
  const T low = B == Basis::cubic ? T(0) : T(-0.5);
  for (const T edge : {low, low + T(1)})
    for (int ulps = -64; ulps <= 64; ++ulps) {
      const T e = edge + T(ulps) * std::numeric_limits<T>::epsilon() * T(8);
      T w[kNodes], dw[kNodes], sum(0), slope(0);
      BSpline<B>::weights(e, w, dw);
      for (int a = 0; a < kNodes; ++a) {
        const T of_node = typename BSpline<B>::template NodeWeight<T>(a)(e);
        CHECK(w[a] >= T(0));
        CHECK(of_node >= T(0));
        CHECK(std::abs(of_node - w[a]) <= 4 * std::numeric_limits<T>::epsilon());
        sum += w[a], slope += dw[a];
      }
      CHECK(std::abs(sum - T(1)) <= 4 * std::numeric_limits<T>::epsilon());
      CHECK(std::abs(slope) <= 8 * std::numeric_limits<T>::epsilon());
    }
}

}  // namespace

TEST_CASE_TEMPLATE("weights of particles on nodes and faces are not negative", T, float, double) {
  check_weights_on_nodes<Basis::quadratic, T>();
  check_weights_on_nodes<Basis::cubic, T>();
}

TEST_CASE("quadratic weights have their moments and derivatives") { check_weights<Basis::quadratic>(4); }
TEST_CASE("cubic weights have their moments and derivatives") { check_weights<Basis::cubic>(3); }

TEST_CASE("a coordinate is inside where every node of its stencil exists; NaN is outside") {
  constexpr Index kNodes = 10;
  CHECK(inside_axis<Basis::cubic>(1.0, kNodes));
  CHECK_FALSE(inside_axis<Basis::cubic>(std::nextafter(1.0, 0.0), kNodes));
  CHECK(inside_axis<Basis::cubic>(std::nextafter(8.0, 0.0), kNodes));
  CHECK_FALSE(inside_axis<Basis::cubic>(8.0, kNodes));
  CHECK(inside_axis<Basis::quadratic>(0.5, kNodes));
  CHECK_FALSE(inside_axis<Basis::quadratic>(8.5, kNodes));
  CHECK_FALSE(inside_axis<Basis::quadratic>(std::nan(""), kNodes));
  CHECK_FALSE(inside_axis<Basis::cubic>(INFINITY, kNodes));
}
