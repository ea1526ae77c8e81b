// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "diffmpm/geometry/inside.hpp"
#include "diffmpm/geometry/triangle_tree.hpp"

namespace diffmpm::geometry {

// The point of a triangle that is nearest to a query.
struct Foot {
  double squared = std::numeric_limits<double>::infinity();  // squared distance
  double weights[3] = {1.0, 0.0, 0.0};                       // barycentric coordinates
};

// Nearest point to q of a triangle a, b, c: the foot on its plane if that is inside, else the nearest point of an edge. Triangles
// without area have edges only.
inline Foot closest_on_triangle(const Point& q, const Point& a, const Point& b, const Point& c) {
  const Point ab = b - a, ac = c - a, normal = cross(ab, ac);
  const Point corners[3] = {a, b, c};
  Foot foot;
  double sides[3];
  bool inside = true;
  for (int k = 0; k < 3; ++k) {
    const int next = (k + 1) % 3, last = (k + 2) % 3;
    const Point from = q - corners[k], edge = corners[next] - corners[k];
    sides[last] = dot(cross(edge, from), normal);
    inside = inside && sides[last] > 0;
    const double length2 = dot(edge, edge), t = length2 > 0 ? std::clamp(dot(from, edge) / length2, 0.0, 1.0) : 0.0;
    const Point away = from - t * edge;
    const double squared = dot(away, away);
    if (squared < foot.squared) {
      foot.squared = squared;
      foot.weights[k] = 1.0 - t, foot.weights[next] = t, foot.weights[last] = 0.0;
    }
  }
  if (!inside) return foot;
  const double height = dot(q - a, normal), total = sides[0] + sides[1] + sides[2];
  foot.squared = height * height / dot(normal, normal);
  for (int k = 0; k < 3; ++k) foot.weights[k] = sides[k] / total;
  return foot;
}

// Position in tree order of the triangle that is nearest to q, and the foot on it, if it is no farther than `foot`; otherwise -1. Of
// several triangles at one distance the one with the lowest index.
std::int32_t closest(const TriangleTree& tree, const Point& q, Foot& foot);

// triangle[i], weights[i][3] = nearest point of the mesh to points[i] in barycentric coordinates; of several triangles at one
// distance the one with the lowest index. The mesh has at least one triangle. Arrays [count][3], [count] and [count][3].
void closest_on_mesh(const MeshView& mesh, const double* points, std::int64_t count, std::int32_t* triangle,
                     double* weights);

}  // namespace diffmpm::geometry
