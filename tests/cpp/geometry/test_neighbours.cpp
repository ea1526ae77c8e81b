// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "diffmpm/core/random.hpp"
#include "diffmpm/geometry/neighbours.hpp"

using namespace diffmpm;
using geometry::CellList;
using geometry::Point;

namespace {

// Random points in a cube, two of them equal, and a few far away.
std::vector<double> points(std::int64_t count) {
  std::vector<double> p;
  for (std::int64_t n = 0; n < 3 * count; ++n) p.push_back(random_uniform(1, static_cast<std::uint64_t>(n), 0));
  std::copy(p.begin(), p.begin() + 3, p.begin() + 30);
  for (int r = 0; r < 3; ++r) p[60 + r] = 1e5 * (r + 1), p[63 + r] = -1e3;
  return p;
}

double squared(const std::vector<double>& p, std::int64_t n, const Point& q) {
  const Point d = Point{p[3 * n], p[3 * n + 1], p[3 * n + 2]} - q;
  return dot(d, d);
}

}  // namespace

TEST_CASE("a search visits exactly the points within the radius") {
  const std::vector<double> p = points(500);
  for (const double edge : {0.03, 0.2, 5.0}) {
    const CellList cells(p.data(), 500, edge);
    for (std::int64_t n = 0; n < 500; n += 7) {
      const Point q = {p[3 * n] + 0.05, p[3 * n + 1], p[3 * n + 2] - 0.02};
      std::vector<std::int32_t> indices, expected;
      cells.visit_within(q, 0.17, [&](std::int32_t slot, double r2) {
        CHECK(r2 == doctest::Approx(squared(p, cells.index(slot), q)).epsilon(1e-12));
        indices.push_back(cells.index(slot));
      });
      for (std::int32_t m = 0; m < 500; ++m)
        if (squared(p, m, q) < 0.17 * 0.17) expected.push_back(m);
      std::sort(indices.begin(), indices.end());
      CHECK(indices == expected);
    }
  }
}

TEST_CASE("the nearest points are sorted by distance, ties by index") {
  const std::vector<double> p = points(300);
  const CellList cells(p.data(), 300, 0.1);
  const Point q = cells.point(0);
  std::int32_t slots[20];
  double r2[20];
  CHECK(cells.nearest(q, 20, 0.01, slots, r2) == 20);
  for (int k = 1; k < 20; ++k) CHECK(r2[k - 1] <= r2[k]);
  for (int k = 0; k < 20; ++k) CHECK(r2[k] == squared(p, cells.index(slots[k]), q));
  CHECK(cells.nearest({p[0], p[1], p[2]}, 2, 0.01, slots, r2) == 2);
  CHECK(cells.index(slots[0]) == 0);
  CHECK(cells.index(slots[1]) == 10);
  std::vector<std::int32_t> all(400);
  std::vector<double> distances(400);
  CHECK(cells.nearest(q, 400, 1.0, all.data(), distances.data()) == 300);
}

TEST_CASE("the mean spacing of a lattice, and of points without a spacing") {
  std::vector<double> p;
  for (int n = 0; n < 1000; ++n)
    for (int axis : {n / 100, n / 10 % 10, n % 10}) p.push_back(0.5 * axis);
  CHECK(geometry::mean_spacing(p.data(), 1000) == doctest::Approx(0.5).epsilon(0.2));
  CHECK(geometry::mean_spacing(p.data(), 1) == 0);
  const std::vector<double> same(30, 2.0);
  CHECK(geometry::mean_spacing(same.data(), 10) == 0);
}
