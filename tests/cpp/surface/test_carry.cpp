// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/surface/carry.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "diffmpm/core/random.hpp"
#include "diffmpm/geometry/point_tree.hpp"

using namespace diffmpm;

namespace {

std::vector<double> random_values(std::size_t count, std::uint64_t seed) {
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = random_uniform(seed, i, 0);
  return values;
}

}  // namespace

TEST_CASE("points move with a translation exactly, and with an affine map up to the regularisation") {
  const std::int64_t count = 300, n = 40;
  const std::vector<double> before = random_values(3 * count, 1), points = random_values(3 * n, 2);
  const geometry::PointTree tree(before.data(), count);
  std::vector<double> after(before), moved(3 * n), gradient(9 * n);
  for (std::int64_t i = 0; i < 3 * count; ++i) after[i] += 0.25 * (1 + i % 3);
  surface::displacements(tree, before.data(), after.data(), points.data(), n, moved.data(), gradient.data());
  for (std::int64_t i = 0; i < 3 * n; ++i) CHECK(moved[i] == doctest::Approx(0.25 * (1 + i % 3)));
  for (const double value : gradient) CHECK(std::abs(value) < 1e-12);

  for (std::int64_t p = 0; p < count; ++p) after[3 * p] = before[3 * p] + 0.4 * before[3 * p + 1];  // shear
  for (std::int64_t p = 0; p < count; ++p) after[3 * p + 1] = before[3 * p + 1], after[3 * p + 2] = before[3 * p + 2];
  surface::displacements(tree, before.data(), after.data(), points.data(), n, moved.data(), gradient.data());
  for (std::int64_t i = 0; i < n; ++i) {
    CHECK(moved[3 * i] == doctest::Approx(0.4 * points[3 * i + 1]).epsilon(0.03));
    CHECK(gradient[9 * i + 1] == doctest::Approx(0.4).epsilon(0.03));
  }
}

TEST_CASE("coinciding particles and few of them move points too") {
  const std::vector<double> same(3 * 30, 0.5), shifted(3 * 30, 0.75), points = {0, 0, 0, 0.5, 0.5, 0.5};
  for (const std::int64_t count : {1, 2, 30}) {
    const geometry::PointTree tree(same.data(), count);
    std::vector<double> moved(6), gradient(18);
    surface::displacements(tree, same.data(), shifted.data(), points.data(), 2, moved.data(), gradient.data());
    for (const double value : moved) CHECK(value == doctest::Approx(0.25));
    for (const double value : gradient) CHECK(value == 0.0);
  }
}

TEST_CASE("distances to a plane are signed") {
  const std::int64_t count = 400;
  std::vector<double> plane = random_values(3 * count, 3);
  std::vector<float> up(3 * count, 0.0f);
  for (std::int64_t i = 0; i < count; ++i) plane[3 * i + 2] = 0.5, up[3 * i + 2] = 1.0f;
  const geometry::PointTree tree(plane.data(), count);
  const std::vector<double> points = random_values(3 * 50, 4);
  std::vector<double> distance(50), normal(150);
  surface::distances(tree, plane.data(), up.data(), points.data(), 50, distance.data(), normal.data());
  for (int i = 0; i < 50; ++i) {
    CHECK(distance[i] == doctest::Approx(points[3 * i + 2] - 0.5));
    CHECK(normal[3 * i + 2] == doctest::Approx(1));
  }
}

TEST_CASE("a factorised matrix is inverted") {
  // L and D of a matrix of 3 rows, in the order 2, 0, 1.
  const surface::Factorisation A{{0, 2, 3, 3}, {1, 2, 2}, {0.5, -0.25, 0.75}, {2, 3, 4}, {2, 0, 1}};
  const double L[3][3] = {{1, 0, 0}, {0.5, 1, 0}, {-0.25, 0.75, 1}};
  double M[3][3] = {};
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j)
      for (int k = 0; k < 3; ++k) M[i][j] += L[A.order[i]][k] * A.diagonal[k] * L[A.order[j]][k];
  for (const int columns : {1, 3, 4, 13}) {
    const std::vector<double> x = random_values(3 * columns, 5);
    std::vector<double> b(3 * columns), result(3 * columns);
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j)
        for (int k = 0; k < columns; ++k) b[i * columns + k] += M[i][j] * x[j * columns + k];
    surface::solve(A, b.data(), columns, result.data());
    for (int i = 0; i < 3 * columns; ++i) CHECK(result[i] == doctest::Approx(x[i]).epsilon(1e-12));
  }
}
