// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/crossing.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "diffmpm/core/random.hpp"

using namespace diffmpm;
using geometry::Point;

namespace {

std::vector<std::uint8_t> crossing(const std::vector<double>& positions, const std::vector<std::int32_t>& corners) {
  const auto vertices = static_cast<std::int64_t>(positions.size() / 3);
  const auto triangles = static_cast<std::int64_t>(corners.size() / 3);
  std::vector<std::uint8_t> flags(triangles, 2);
  const geometry::MeshView mesh{positions.data(), corners.data(), vertices, triangles};
  std::vector<double> earlier(positions.rbegin(), positions.rend());  // the tree is that of another shape
  geometry::TriangleTree tree({earlier.data(), corners.data(), vertices, triangles});
  tree.fit(mesh);
  geometry::crossing_triangles(mesh, tree, flags.data());
  return flags;
}

}  // namespace

TEST_CASE("triangles cross if an edge of one passes through the other") {
  const Point flat[3] = {{0, 0, 0}, {1, 0, 0}, {0, 1, 0}};
  const Point through[3] = {{0.2, 0.2, -1}, {0.2, 0.2, 1}, {5, 5, 1}}, beside[3] = {{2, 2, -1}, {2, 2, 1}, {5, 5, 1}};
  const Point wide[3] = {{0.2, -9, -9}, {0.2, 9, -9}, {0.2, 0, 9}};  // the edges of `flat` pass through it
  CHECK(geometry::triangles_cross(flat, through));
  CHECK(geometry::triangles_cross(through, flat));
  CHECK(geometry::triangles_cross(flat, wide));
  CHECK(geometry::triangles_cross(wide, flat));
  CHECK_FALSE(geometry::triangles_cross(flat, beside));
  const Point touching[3] = {{0.2, 0.2, 0}, {0.2, 0.2, 1}, {0.3, 0.2, 1}},
              same_plane[3] = {{0.1, 0.1, 0}, {2, 0, 0}, {0, 2, 0}};
  CHECK_FALSE(geometry::triangles_cross(flat, touching));
  CHECK_FALSE(geometry::triangles_cross(flat, same_plane));
}

TEST_CASE("crossing triangles are those of all pairs without a common vertex") {
  const std::size_t vertices = 90, triangles = 151;
  std::vector<double> positions(3 * vertices);
  std::vector<std::int32_t> corners(3 * triangles);
  for (std::size_t i = 0; i < positions.size(); ++i) positions[i] = random_uniform(1, i, 0);
  for (std::size_t t = 0; t < triangles; ++t)
    for (std::size_t k = 0; k < 3; ++k)  // short and long ones; some have no area
      corners[3 * t + k] = static_cast<std::int32_t>(random_uniform(2, t < 100 ? 3 * t + k : t, 0) * (vertices - 3)) +
                           (t < 100 ? 0 : k % 2);
  const std::vector<std::uint8_t> flags = crossing(positions, corners);
  int count = 0;
  const auto shared = [&](std::size_t s, std::size_t t) {
    for (int i = 0; i < 9; ++i)
      if (corners[3 * s + i / 3] == corners[3 * t + i % 3]) return true;
    return false;
  };
  const auto points = [&](std::size_t t, Point* out) {
    for (int k = 0; k < 3; ++k) {
      const double* at = &positions[3 * corners[3 * t + k]];
      out[k] = {at[0], at[1], at[2]};
    }
  };
  for (std::size_t s = 0; s < triangles; ++s) {
    bool expected = false;
    for (std::size_t t = 0; t < triangles; ++t) {
      Point a[3], b[3];
      points(s, a), points(t, b);
      expected = expected || (!shared(s, t) && geometry::triangles_cross(a, b));
    }
    CHECK(flags[s] == (expected ? 1 : 0));
    count += flags[s];
  }
  CHECK(count > 20);
  CHECK(count < 151);
}

TEST_CASE("a mesh that does not touch itself has no crossing triangles") {
  const std::vector<double> positions{0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1};
  CHECK(crossing(positions, {0, 2, 1, 0, 1, 3, 1, 2, 3, 2, 0, 3}) == std::vector<std::uint8_t>{0, 0, 0, 0});
  CHECK(crossing(positions, {}).empty());
}
