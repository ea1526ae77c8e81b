// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/evening.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/geometry/neighbours.hpp"

namespace diffmpm::geometry {
namespace {

constexpr double kPi = 0.25 * kFourPi;
constexpr double kRadius = 2.0;  // of the kernel, in spacings
constexpr int kRounds = 12;
constexpr double kStep = 0.1;  // of a round, as a factor of the squared radius times the gradient
constexpr double kPush = 1.0;  // repulsion of close pairs, which the kernel, flat in its middle, does not separate
constexpr double kFarthestStep = 0.3;  // of a round, in spacings
constexpr int kWallRounds = 3;         // rounds between searches for the nearest wall
constexpr double kLeastDepth = 0.3;    // of a point, in spacings; regular layers have 1/2
constexpr double kBeyond = 0.05;       // depth behind a wall, in spacings, at which the winding number is taken

// The plane of the surface next to a point.
struct Wall {
  bool near = false;  // whether the surface is within the kernel
  Point at, outward;  // outward is 0 where it is not, or where another part of the solid lies behind it
};

Wall wall_at(const WindingTree& tree, const Point& q, double spacing) {
  Wall wall;
  wall.near = tree.nearest(q, kRadius * spacing, wall.at);
  if (!wall.near) return wall;
  const Point d = wall.at - q;
  const double distance = std::sqrt(dot(d, d));
  if (!(distance > 0)) return wall;
  const Point outward = (1 / distance) * d;
  if (tree.winding(wall.at + kBeyond * spacing * outward) <= 0.5) wall.outward = outward;
  return wall;
}

}  // namespace

void even_out(const MeshView& mesh, double spacing, double* points, std::int64_t count) {
  const WindingTree tree(mesh);
  const double radius = kRadius * spacing, inverse = 1 / (radius * radius);
  // Gradients of the density kernel 315 / (64 pi) (1 - u)^3 of u = r^2 / R^2, and of its integral over a half-space at depth t R,
  // of slope 315 / 256 (1 - t^2)^4.
  const double pair = -6 * 315 / (64 * kPi) * inverse / (kRadius * kRadius * kRadius), plane = 315.0 / 256 / radius;
  const auto at = [&](std::int64_t p) { return Point{points[3 * p], points[3 * p + 1], points[3 * p + 2]}; };
  const auto put = [&](std::int64_t p, const Point& x) {
    points[3 * p] = x.x, points[3 * p + 1] = x.y, points[3 * p + 2] = x.z;
  };
  const std::vector<double> start(points, points + 3 * count);
  std::vector<Wall> walls(count);
  std::vector<std::uint8_t> near(count);  // whether a point has been near the surface
  for (int round = 0; round < kRounds; ++round) {
    const CellList cells(points, count, spacing);
    parallel_for(count, 64, [&](std::int64_t p) {
      const Point x = at(p);
      Wall& wall = walls[p];
      if (round % kWallRounds == 0) wall = wall_at(tree, x, spacing);
      Point slope;
      cells.visit_within(x, radius, [&](std::int32_t slot, double r2) {
        const double v = 1 - r2 * inverse;
        double factor = pair * v * v;
        if (r2 > 0 && r2 < spacing * spacing) factor -= kPush / radius * (1 / std::sqrt(r2) - 1 / spacing);
        slope = slope + factor * (x - cells.point(slot));
      });
      near[p] |= wall.near ? 1 : 0;
      const bool walled = dot(wall.outward, wall.outward) > 0;
      if (walled) {
        const double t = std::clamp(dot(wall.at - x, wall.outward) / radius, -1.0, 1.0), v = 1 - t * t;
        slope = slope + (plane * v * v * v * v) * wall.outward;
      }
      Point step = (-kStep * radius * radius) * slope;
      const double size = std::sqrt(dot(step, step));
      if (size > kFarthestStep * spacing) step = (kFarthestStep * spacing / size) * step;
      Point next = x + step;
      if (walled) {
        const double lack = kLeastDepth * spacing - dot(wall.at - next, wall.outward);
        if (lack > 0) next = next - lack * wall.outward;
      }
      put(p, next);
    });
  }
  parallel_for(count, 16, [&](std::int64_t p) {
    if (near[p] && !(tree.decided_winding(at(p)) > 0.5)) put(p, {start[3 * p], start[3 * p + 1], start[3 * p + 2]});
  });
}

}  // namespace diffmpm::geometry
