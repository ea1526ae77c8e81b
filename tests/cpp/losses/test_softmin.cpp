// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/losses/softmin.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "diffmpm/losses/proximity.hpp"

using namespace diffmpm;

TEST_CASE_TEMPLATE("the logarithm of a pack is accurate to rounding", T, float, double) {
  using P = Pack<T>;
  constexpr double eps = std::numeric_limits<T>::epsilon();
  for (int n = 0; n < 4000; ++n) {
    const T x = static_cast<T>(std::exp2(0.03 * n) * (1 + 1e-4 * (n % 7)));
    T lanes[P::kWidth];
    vlog2(P(x)).store(lanes);
    const double expected = std::log2(static_cast<double>(x));
    CHECK(std::abs(lanes[0] - expected) <= 2 * eps * std::max(1.0, expected));
  }
}

TEST_CASE_TEMPLATE("sums of any dynamic range, on a scalar and on a pack", T, float, double) {
  using P = Pack<T>;
  constexpr int length = 41;
  std::vector<T> costs, h;
  for (int d = 1 - length; d < length; ++d) costs.push_back(static_cast<T>(1.3 * d * d));
  for (int y = 0; y < length; ++y) h.push_back(y % 5 == 3 ? static_cast<T>(kLogOfZero) : static_cast<T>(29.5 * y - 3));
  const T* cost = costs.data() + length - 1;
  for (int x = 0; x < length; ++x) {
    double top = -1e300, sum = 0;
    for (int y = 0; y < length; ++y) top = std::max(top, double(h[y]) - double(cost[x - y]));
    for (int y = 0; y < length; ++y) sum += std::exp2(double(h[y]) - double(cost[x - y]) - top);
    const double expected = top + std::log2(sum), tolerance = 4 * std::numeric_limits<T>::epsilon() * 1200;
    const int at[1] = {x};
    T scalar[1];
    log_sums(length, at, cost, [&](int y) { return h[y]; }, scalar);
    CHECK(std::abs(scalar[0] - expected) < tolerance);
    P pack[1];
    T lanes[P::kWidth];
    log_sums(length, at, cost, [&](int y) { return P(h[y]); }, pack);
    pack[0].store(lanes);
    CHECK(std::abs(lanes[P::kWidth - 1] - expected) < tolerance);
  }
}

TEST_CASE("the sum over an empty line stands for zero") {
  const double cost[] = {1, 0, 1};
  const int at[1] = {0};
  double sum[1];
  log_sums(2, at, cost + 1, [](int) { return double(kLogOfZero); }, sum);
  CHECK(sum[0] < 0.9 * kLogOfZero);
  CHECK(std::isfinite(sum[0]));
}

TEST_CASE("the slope of the penalty is its derivative") {
  double slope, unused;
  for (const double t : {-1.0, 1e-3, 0.3, 2.0, 50.0}) {
    excess_penalty(t, slope);
    const double h = 1e-6, numeric = (excess_penalty(t + h, unused) - excess_penalty(t - h, unused)) / (2 * h);
    CHECK(slope == doctest::Approx(numeric).epsilon(1e-7));
  }
  CHECK(excess_penalty(1e-9, slope) == doctest::Approx(5e-19).epsilon(1e-12));
}
