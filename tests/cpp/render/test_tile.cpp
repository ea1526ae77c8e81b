// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "diffmpm/core/random.hpp"
#include "diffmpm/render/tile.hpp"

using namespace diffmpm;

namespace {

// Interval of x over a strip by brute force, from the roots of |w|^2 = radius^2 on many lines y = const.
bool brute_interval(const Ellipse<double>& e, double low, double high, double& left, double& right) {
  left = 1e300, right = -1e300;
  for (int n = 0; n <= 20000; ++n) {
    const double y = low + (high - low) * n / 20000, v = e.w.yy * y, rest = e.radius2 - v * v;
    if (rest < 0) continue;
    left = std::min(left, (-std::sqrt(rest) - e.w.xy * y) / e.w.xx);
    right = std::max(right, (std::sqrt(rest) - e.w.xy * y) / e.w.xx);
  }
  return left <= right;
}

}  // namespace

TEST_CASE("the interval of an ellipse over a strip") {
  for (std::uint64_t n = 0; n < 60; ++n) {
    const auto random = [&](std::uint64_t k) { return random_uniform(5, n, k); };
    const double a = 0.5 + 20 * random(0), c = 0.5 + 20 * random(1), b = (2 * random(2) - 1) * 0.99 * std::sqrt(a * c);
    const double covar[3] = {a, b, c};
    const Ellipse<double> e = splat_ellipse(whitening(covar, a * c - b * b), std::log2(0.05 + random(3)));
    const double low = 16 * random(4) - 8, high = low + 3;
    double left, right, expected_left, expected_right;
    const bool intersects = ellipse_interval(e, low, high, left, right);
    const bool expected = brute_interval(e, low, high, expected_left, expected_right);
    CHECK(intersects == expected);
    if (!intersects) continue;
    CHECK(left == doctest::Approx(expected_left).epsilon(1e-3).scale(0.1));
    CHECK(right == doctest::Approx(expected_right).epsilon(1e-3).scale(0.1));
    CHECK(left <= expected_left + 1e-9);
    CHECK(right >= expected_right - 1e-9);
  }
}

TEST_CASE("extents bound the ellipse") {
  const double covar[3] = {5.0, 2.0, 3.0}, opacity = 0.7;
  const Ellipse<double> e = splat_ellipse(whitening(covar, 11.0), std::log2(opacity));
  const double q = 2 * std::log(255 * opacity);
  CHECK(e.extent[0] == doctest::Approx(std::sqrt(q * 5)).epsilon(1e-3));
  CHECK(e.extent[1] == doctest::Approx(std::sqrt(q * 3)).epsilon(1e-3));
  double left, right;
  CHECK(ellipse_interval(e, -100.0, 100.0, left, right));
  CHECK(right == doctest::Approx(e.extent[0]));
  CHECK(left == doctest::Approx(-e.extent[0]));
  CHECK_FALSE(ellipse_interval(e, e.extent[1] + 0.1, e.extent[1] + 3.0, left, right));
}
