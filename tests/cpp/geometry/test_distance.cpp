// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/distance.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "diffmpm/core/random.hpp"

using namespace diffmpm;

TEST_CASE("the distance to the nearest marked node is exact") {
  for (const double fraction : {0.005, 0.3, 1.0}) {
    const std::int64_t dims[3] = {9, 14, 11}, count = 9 * 14 * 11;
    std::vector<std::uint8_t> marked(count);
    for (std::int64_t n = 0; n < count; ++n) marked[n] = random_uniform(7, static_cast<std::uint64_t>(n), 0) < fraction;
    marked[500] = 1;
    std::vector<double> distance(count);
    geometry::distance_to_marked(marked.data(), dims, distance.data());
    for (std::int64_t n = 0; n < count; ++n) {
      std::int64_t best = 1 << 20;
      for (std::int64_t m = 0; m < count; ++m) {
        if (!marked[m]) continue;
        const std::int64_t i = n / 154 - m / 154, j = n / 11 % 14 - m / 11 % 14, k = n % 11 - m % 11;
        best = std::min(best, i * i + j * j + k * k);
      }
      CHECK(distance[n] == std::sqrt(static_cast<double>(best)));
    }
  }
}

TEST_CASE("without a marked node all distances are infinite") {
  const std::int64_t dims[3] = {2, 1, 3};
  const std::vector<std::uint8_t> marked(6, 0);
  std::vector<double> distance(6);
  geometry::distance_to_marked(marked.data(), dims, distance.data());
  for (const double d : distance) CHECK(std::isinf(d));
}
