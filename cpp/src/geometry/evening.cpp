// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/evening.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/geometry/closest.hpp"
#include "diffmpm/geometry/neighbours.hpp"

namespace diffmpm::geometry {
namespace {

constexpr double kPi = 0.25 * kFourPi;
constexpr double kRadius = 2.0;  // of the kernel, in spacings
constexpr int kRounds = 12;
constexpr double kStep = 0.1;  // of a round, as a factor of the squared radius times the gradient
constexpr double kPush = 0.5;  // repulsion of close pairs, which the kernel, flat in its middle, does not separate
constexpr double kFarthestStep = 0.3;  // of a round, in spacings
constexpr int kWallRounds = 3;         // rounds between searches for the nearest wall
constexpr double kLeastDepth = 0.3;    // of a point, in spacings; regular layers have 1/2
constexpr double kBeyond = 0.05;       // depth behind a wall, in spacings, at which the winding number is taken
constexpr double kPiece = 0.5;         // edge of the pieces of the surface, in spacings

// The plane of the surface next to a point.
struct Wall {
  bool near = false;  // whether the surface is within the kernel
  Point at, outward;  // outward is 0 where it is not, or where another part of the solid lies behind it
};

Wall wall_at(const TriangleTree& triangles, const WindingTree& tree, const Point& q, double spacing) {
  Foot foot;
  foot.squared = kRadius * spacing * kRadius * spacing;
  const std::int32_t nearest = closest(triangles, q, foot);
  Wall wall{nearest >= 0, {}, {}};
  if (!wall.near) return wall;
  for (int k = 0; k < 3; ++k) wall.at = wall.at + foot.weights[k] * triangles.corners[3 * nearest + k];
  const Point d = wall.at - q;
  const double distance = std::sqrt(dot(d, d));
  if (!(distance > 0)) return wall;
  const Point outward = (1 / distance) * d;
  if (tree.winding(wall.at + kBeyond * spacing * outward) <= 0.5) wall.outward = outward;
  return wall;
}

// A piece of the surface: the space beyond it counts as filled.
struct Piece {
  Point at, area;  // centre, and the outward normal times the area
};

// A part of a triangle in a cell, and the axis and sign of its normal.
struct Part {
  std::array<std::int64_t, 4> key;
  double size;
  Piece piece;
};

// Halves the longest edge until it is short enough. Rounding errors of the corners change neither the edge nor the cell of a part: equal
// edges count as equal, and `low` is chosen so that corners of regular meshes are not on borders of cells.
void split(const Point& a, const Point& b, const Point& c, double longest, const Point& low, std::vector<Part>& parts) {
  constexpr double kAbove = 1 + 1e-9;
  const double ab = dot(b - a, b - a), bc = dot(c - b, c - b), ca = dot(a - c, a - c);
  if (std::max({ab, bc, ca}) > kAbove * longest * longest) {
    if (bc > kAbove * ab && kAbove * bc > ca) return split(b, c, a, longest, low, parts);
    if (ca > kAbove * ab) return split(c, a, b, longest, low, parts);
    const Point middle = 0.5 * (a + b);
    split(a, middle, c, longest, low, parts);
    return split(middle, b, c, longest, low, parts);
  }
  const Point area = 0.5 * cross(b - a, c - a), at = (1.0 / 3) * (a + b + c);
  const double size = std::sqrt(dot(area, area)), x = std::abs(area.x), y = std::abs(area.y), z = std::abs(area.z);
  if (!(size > 0)) return;
  const int axis = kAbove * x >= y && kAbove * x >= z ? 0 : (kAbove * y >= z ? 1 : 2);
  const double along = axis == 0 ? area.x : (axis == 1 ? area.y : area.z);
  const auto cell = [&](double v) { return static_cast<std::int64_t>(std::floor(v / longest)); };
  parts.push_back(
      {{cell(at.x - low.x), cell(at.y - low.y), cell(at.z - low.z), 2 * axis + (along > 0 ? 1 : 0)}, size, {at, area}});
}

// The boundary of the solid in pieces of about half a spacing, one per cell and main direction of the normal.
std::vector<Piece> boundary(const MeshView& mesh, const WindingTree& tree, double spacing) {
  std::vector<Part> parts;
  const Point aside = kPiece * spacing * Point{0.382, 0.271, 0.618};
  const Point low = mesh.triangle_count > 0 ? mesh.corner(0, 0) - aside : Point{};
  for (std::int64_t t = 0; t < mesh.triangle_count; ++t)
    split(mesh.corner(t, 0), mesh.corner(t, 1), mesh.corner(t, 2), kPiece * spacing, low, parts);
  std::stable_sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.key < b.key; });
  std::vector<Piece> pieces;
  for (std::size_t first = 0, end = 0; first < parts.size(); first = end) {
    Piece piece{};
    double size = 0;
    for (end = first; end < parts.size() && parts[end].key == parts[first].key; ++end) {
      piece.at = piece.at + parts[end].size * parts[end].piece.at;
      piece.area = piece.area + parts[end].piece.area;
      size += parts[end].size;
    }
    piece.at = (1 / size) * piece.at;
    pieces.push_back(piece);
  }
  std::vector<std::uint8_t> kept(pieces.size());  // not where another part of the solid lies behind it
  parallel_for(static_cast<std::int64_t>(pieces.size()), 16, [&](std::int64_t n) {
    const Piece& piece = pieces[n];
    const double size = std::sqrt(dot(piece.area, piece.area));
    if (!(size > 0)) return;
    const Point ahead = (kBeyond * spacing / size) * piece.area;
    kept[n] = tree.winding(piece.at + ahead) <= 0.5 && tree.winding(piece.at - ahead) > 0.5 ? 1 : 0;
  });
  std::size_t count = 0;
  for (std::size_t n = 0; n < pieces.size(); ++n)
    if (kept[n]) pieces[count++] = pieces[n];
  pieces.resize(count);
  return pieces;
}

}  // namespace

void even_out(const MeshView& mesh, double spacing, double* points, std::int64_t count) {
  const WindingTree tree(mesh);
  const TriangleTree triangles(mesh);
  const double radius = kRadius * spacing, inverse = 1 / (radius * radius);
  // Density kernel w = 315 / (64 pi R^3) (1 - u)^3 of u = r^2 / R^2. The gradient of its integral over the space beyond the surface is
  // that of w n over the surface with the outward normal n, by the divergence theorem.
  const double scale = 315 / (64 * kPi) / (radius * radius * radius);
  const double pair = -6 * scale * inverse * spacing * spacing * spacing;
  const std::vector<Piece> pieces = boundary(mesh, tree, spacing);
  std::vector<double> centres(3 * pieces.size());
  for (std::size_t n = 0; n < pieces.size(); ++n)
    centres[3 * n] = pieces[n].at.x, centres[3 * n + 1] = pieces[n].at.y, centres[3 * n + 2] = pieces[n].at.z;
  const CellList surface(centres.data(), static_cast<std::int64_t>(pieces.size()), spacing);
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
      if (round % kWallRounds == 0) wall = wall_at(triangles, tree, x, spacing);
      Point slope;
      cells.visit_within(x, radius, [&](std::int32_t slot, double r2) {
        const double v = 1 - r2 * inverse;
        double factor = pair * v * v;
        if (r2 > 0 && r2 < spacing * spacing) factor -= kPush / radius * (1 / std::sqrt(r2) - 1 / spacing);
        slope = slope + factor * (x - cells.point(slot));
      });
      near[p] |= wall.near ? 1 : 0;
      if (near[p])
        surface.visit_within(x, radius, [&](std::int32_t slot, double r2) {
          const double v = 1 - r2 * inverse;
          slope = slope + (scale * v * v * v) * pieces[surface.index(slot)].area;
        });
      Point step = (-kStep * radius * radius) * slope;
      const double size = std::sqrt(dot(step, step));
      if (size > kFarthestStep * spacing) step = (kFarthestStep * spacing / size) * step;
      Point next = x + step;
      if (dot(wall.outward, wall.outward) > 0) {
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
