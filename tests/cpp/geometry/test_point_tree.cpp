// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/point_tree.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "diffmpm/core/random.hpp"

using namespace diffmpm;
using geometry::Point;
using geometry::PointTree;

namespace {

// Random points in a flat box, some of them equal, and a few far away.
std::vector<double> points(std::int64_t count, std::uint64_t seed) {
  std::vector<double> p;
  for (std::int64_t n = 0; n < 3 * count; ++n)
    p.push_back(random_uniform(seed, static_cast<std::uint64_t>(n), 0) * (n % 3 == 2 ? 0.1 : 1.0));
  for (std::int64_t n = 0; n < std::min<std::int64_t>(count / 4, 20); ++n)
    std::copy(p.begin(), p.begin() + 3, p.begin() + 6 * n);
  if (count > 30) p[60] = 1e5, p[64] = -1e3;
  return p;
}

std::vector<double> distances(const std::vector<double>& p, const double* q) {
  std::vector<double> d;
  for (std::size_t n = 0; n < p.size(); n += 3) d.push_back(std::hypot(p[n] - q[0], p[n + 1] - q[1], p[n + 2] - q[2]));
  std::sort(d.begin(), d.end());
  return d;
}

}  // namespace

TEST_CASE("distances to neighbours agree with a search over all points") {
  for (const std::int64_t count : {1, 2, 8, 9, 17, 400}) {
    const std::vector<double> p = points(count, 1);
    const PointTree tree(p.data(), count);
    std::vector<double> queries = points(60, 2);
    for (double& q : queries) q = 3 * q - 1;  // most of them outside of the box
    std::vector<double> nearest(60);
    tree.nearest(queries.data(), 60, nearest.data());
    for (int n = 0; n < 60; ++n)
      CHECK(nearest[n] == doctest::Approx(distances(p, queries.data() + 3 * n)[0]).epsilon(1e-12));
    for (const int rank : {1, 8, 16}) {
      if (rank >= count) continue;
      std::vector<double> ranked(count);
      tree.neighbour_distance(rank, ranked.data());
      for (std::int64_t n = 0; n < count; ++n)
        CHECK(ranked[n] == doctest::Approx(distances(p, p.data() + 3 * n)[rank]).epsilon(1e-12));
    }
  }
}

TEST_CASE("a point is outer if one of the balls beside it is empty") {
  const std::vector<double> p = points(300, 3);
  const PointTree tree(p.data(), 300);
  const std::vector<Point> steps = {{0.1, 0, 0}, {-0.1, 0, 0}, {0, 0.1, 0.1}};
  std::vector<std::uint8_t> flags(300);
  tree.outer(steps.data(), 3, 0.07, flags.data());
  int outer = 0;
  for (int n = 0; n < 300; ++n) {
    bool empty = false;
    for (const Point& s : steps) {
      const double q[3] = {p[3 * n] + s.x, p[3 * n + 1] + s.y, p[3 * n + 2] + s.z};
      empty = empty || distances(p, q)[0] >= 0.07;
    }
    CHECK(flags[n] == (empty ? 1 : 0));
    outer += flags[n];
  }
  CHECK(outer > 20);
  CHECK(outer < 280);
}

TEST_CASE("nearest points come by distance, as many as there are") {
  for (const std::int64_t count : {1, 5, 400}) {
    const std::vector<double> p = points(count, 1);
    const PointTree tree(p.data(), count);
    std::vector<double> queries = points(60, 2);
    for (int n = 0; n < 60; ++n) {
      const double* q = queries.data() + 3 * n;
      double squared[13];
      std::int32_t index[13];
      const int size = tree.nearest({q[0], q[1], q[2]}, 13, squared, index);
      REQUIRE(size == std::min<std::int64_t>(13, count));
      const std::vector<double> expected = distances(p, q);
      for (int k = 0; k < size; ++k) {
        const double* at = p.data() + 3 * index[k];
        CHECK(std::sqrt(squared[k]) == doctest::Approx(expected[k]).epsilon(1e-12));
        CHECK(std::hypot(at[0] - q[0], at[1] - q[1], at[2] - q[2]) == doctest::Approx(expected[k]).epsilon(1e-12));
      }
      CHECK(std::set(index, index + size).size() == static_cast<std::size_t>(size));  // no point twice
    }
  }
}
