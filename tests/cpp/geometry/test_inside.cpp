// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/inside.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "diffmpm/core/random.hpp"
#include "diffmpm/geometry/topology.hpp"

namespace {

namespace geometry = diffmpm::geometry;

// Unit cube [0, 1]^3 with n x n squares per face, so that the tree has several levels.
struct Cube {
  std::vector<double> vertices;
  std::vector<std::int32_t> triangles;

  explicit Cube(int n) {
    for (int axis = 0; axis < 3; ++axis)
      for (int side = 0; side < 2; ++side)
        for (int i = 0; i < n; ++i)
          for (int j = 0; j < n; ++j) add_square(axis, side, i, j, n);
  }

  void add_square(int axis, int side, int i, int j, int n) {
    const auto base = static_cast<std::int32_t>(vertices.size() / 3);
    for (int k = 0; k < 4; ++k) {
      double p[3];
      p[axis] = side;
      p[(axis + 1) % 3] = static_cast<double>(i + (k == 1 || k == 2)) / n;
      p[(axis + 2) % 3] = static_cast<double>(j + (k >= 2)) / n;
      vertices.insert(vertices.end(), p, p + 3);
    }
    const std::int32_t second = side == 1 ? 1 : 2, third = side == 1 ? 2 : 1;
    triangles.insert(triangles.end(), {base, base + second, base + third});
    triangles.insert(triangles.end(), {base, base + second + 1, base + third + 1});
  }

  geometry::MeshView view() const {
    return {vertices.data(), triangles.data(), static_cast<std::int64_t>(vertices.size() / 3),
            static_cast<std::int64_t>(triangles.size() / 3)};
  }
};

geometry::Point random_point(std::uint64_t i) {
  return {3.0 * diffmpm::random_uniform(1, i, 0) - 1.0, 3.0 * diffmpm::random_uniform(1, i, 1) - 1.0,
          3.0 * diffmpm::random_uniform(1, i, 2) - 1.0};
}

}  // namespace

TEST_CASE("a cube of squares that do not share vertices is closed and manifold") {
  const Cube cube(6);
  const geometry::Topology edges = geometry::topology(cube.view());
  CHECK(edges.boundary.empty());
  CHECK(edges.non_manifold == 0);
}

TEST_CASE("parts are connected across edges of two triangles, and triangles wound against the first one are flagged") {
  Cube cube(3);
  const std::size_t corners = cube.vertices.size(), count = cube.triangles.size() / 3;
  for (std::size_t i = 0; i < corners; ++i) cube.vertices.push_back(cube.vertices[i] + (i % 3 == 0 ? 5.0 : 0.0));
  for (std::size_t i = 0; i < 3 * count; ++i)
    cube.triangles.push_back(cube.triangles[i] + static_cast<std::int32_t>(corners / 3));
  for (std::size_t t = 1; t < 2 * count; t += 3) std::swap(cube.triangles[3 * t], cube.triangles[3 * t + 1]);
  cube.triangles.insert(cube.triangles.end(), {0, 0, 1});  // collapses: a separate part without edges
  const geometry::Parts parts = geometry::parts(cube.view());
  for (std::size_t t = 0; t < 2 * count; ++t) {
    CHECK(parts.part[t] == (t < count ? 0 : 1));
    CHECK(parts.turned[t] == (t % 3 == 1));
    CHECK(parts.border[t] == 0);
  }
  CHECK(parts.part[2 * count] == 2);
  CHECK(geometry::topology(cube.view()).open == 0);

  cube.triangles.erase(cube.triangles.begin(), cube.triangles.begin() + 3);
  int ends = 0;
  for (const std::uint8_t bits : geometry::parts(cube.view()).border)
    ends += (bits & 1) + (bits >> 1 & 1) + (bits >> 2);
  CHECK(ends == 3);
  CHECK(geometry::topology(cube.view()).open == 3);
}

TEST_CASE("the winding number of a cube is 1 inside and 0 outside, and the expansion is close to it") {
  const Cube cube(6);
  const geometry::WindingTree tree(cube.view());
  for (std::uint64_t i = 0; i < 500; ++i) {
    const geometry::Point q = random_point(i);
    const bool inside = q.x > 0 && q.x < 1 && q.y > 0 && q.y < 1 && q.z > 0 && q.z < 1;
    const double exact = tree.winding(q, std::numeric_limits<double>::infinity());
    CHECK(std::abs(exact - (inside ? 1.0 : 0.0)) < 1e-12);
    CHECK(std::abs(tree.winding(q) - exact) < 2e-2);
  }
}

TEST_CASE("the moments of a set of triangles give its far solid angle to third order") {
  const Cube cube(1);
  const geometry::MeshView mesh = cube.view();
  geometry::Moments moments;
  moments.center = {0.5, 0.5, 0.5};
  // Half of the faces of the cube: an open set without vanishing moments.
  for (std::int64_t t = 0; t < 6; ++t)
    geometry::add_triangle(moments, mesh.corner(t, 0), mesh.corner(t, 1), mesh.corner(t, 2));
  double previous = 0.0;
  for (const double distance : {8.0, 16.0}) {
    const geometry::Point q = {0.3 * distance, 0.5 * distance, 0.8 * distance};
    double exact = 0.0;
    for (std::int64_t t = 0; t < 6; ++t)
      exact += geometry::solid_angle(q, mesh.corner(t, 0), mesh.corner(t, 1), mesh.corner(t, 2));
    const double error = std::abs(geometry::far_solid_angle(moments, q) - exact);
    // The first omitted term falls with distance^-5: 32 times smaller at twice the distance, or 20 including the next one.
    if (previous > 0.0) CHECK(error < previous / 20.0);
    previous = error;
  }
}

TEST_CASE("the short series of atan2 agrees with the library up to rounding") {
  for (double slope = -0.2; slope <= 0.2; slope += 1e-3) {
    CHECK(geometry::fast_atan2(slope, 1.0) == doctest::Approx(std::atan2(slope, 1.0)).epsilon(1e-15));
    CHECK(geometry::fast_atan2(slope, -1.0) == std::atan2(slope, -1.0));
  }
  CHECK(geometry::fast_atan2(0.0, 0.0) == 0.0);
}
