// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/closest.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "diffmpm/core/random.hpp"

using namespace diffmpm;
using geometry::Point;

namespace {

Point at(const geometry::MeshView& mesh, std::int32_t t, const double* w) {
  return w[0] * mesh.corner(t, 0) + w[1] * mesh.corner(t, 1) + w[2] * mesh.corner(t, 2);
}

double squared(const Point& a, const Point& b) { return dot(a - b, a - b); }

}  // namespace

TEST_CASE("the nearest point of a mesh is that of the nearest triangle") {
  const std::int64_t vertices = 60, triangles = 101, count = 200;
  std::vector<double> positions(3 * vertices), points(3 * count), weights(3 * count);
  std::vector<std::int32_t> corners(3 * triangles), triangle(count);
  for (std::size_t i = 0; i < positions.size(); ++i) positions[i] = random_uniform(1, i, 0);
  for (std::size_t i = 0; i < points.size(); ++i) points[i] = 3 * random_uniform(2, i, 0) - 1;
  for (std::size_t i = 0; i < corners.size(); ++i)  // some triangles have no area
    corners[i] = static_cast<std::int32_t>(random_uniform(3, i, 0) * vertices);
  const geometry::MeshView mesh{positions.data(), corners.data(), vertices, triangles};
  geometry::closest_on_mesh(mesh, points.data(), count, triangle.data(), weights.data());
  for (std::int64_t i = 0; i < count; ++i) {
    const Point q{points[3 * i], points[3 * i + 1], points[3 * i + 2]};
    const double* w = &weights[3 * i];
    CHECK(w[0] + w[1] + w[2] == doctest::Approx(1.0).epsilon(1e-14));
    CHECK(std::min({w[0], w[1], w[2]}) >= 0.0);
    const double nearest = squared(q, at(mesh, triangle[i], w));
    double best = 1e30;
    for (std::int64_t t = 0; t < triangles; ++t)
      best = std::min(
          best, geometry::closest_on_triangle(q, mesh.corner(t, 0), mesh.corner(t, 1), mesh.corner(t, 2)).squared);
    CHECK(nearest == doctest::Approx(best).epsilon(1e-9));
    // No other point of any triangle is nearer.
    for (std::uint64_t k = 0; k < 500; ++k) {
      const double u = random_uniform(4, k, 0), v = (1 - u) * random_uniform(5, k, 0), other[3] = {1 - u - v, u, v};
      const auto t = static_cast<std::int32_t>(k % triangles);
      CHECK(squared(q, at(mesh, t, other)) >= nearest - 1e-12);
    }
  }
}

TEST_CASE("of triangles at one distance the first is nearest") {
  const std::vector<double> positions{0, 0, 0, 1, 0, 0, 0, 1, 0};
  const std::vector<std::int32_t> corners{1, 2, 0, 0, 1, 2, 0, 1, 2, 2, 0, 1, 0, 2, 1};
  const geometry::MeshView mesh{positions.data(), corners.data(), 3, 5};
  const double point[3] = {0.25, 0.25, 1.0};
  std::int32_t triangle = -1;
  double weights[3];
  geometry::closest_on_mesh(mesh, point, 1, &triangle, weights);
  CHECK(triangle == 0);
  CHECK(weights[2] == doctest::Approx(0.5));
}
