// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/geometry/inside.hpp"
#include "diffmpm/geometry/triangle_tree.hpp"

namespace diffmpm::geometry {

// Whether the segment from p to q passes through the interior of the triangle a, b, c: p and q are on different sides of its
// plane, and the line through them is on one side of all edges. Contact does not count.
inline bool segment_crosses(const Point& p, const Point& q, const Point& a, const Point& b, const Point& c) {
  const Point normal = cross(b - a, c - a), pa = a - p, pb = b - p, pc = c - p, along = q - p;
  const double from = dot(normal, p - a), to = dot(normal, q - a);
  if (!((from > 0.0 && to < 0.0) || (from < 0.0 && to > 0.0))) return false;
  const double u = dot(along, cross(pa, pb)), v = dot(along, cross(pb, pc)), w = dot(along, cross(pc, pa));
  return (u > 0.0 && v > 0.0 && w > 0.0) || (u < 0.0 && v < 0.0 && w < 0.0);
}

// Whether t [3] does not reach from one side of the plane of s [3] to the other.
inline bool separated(const Point* s, const Point* t) {
  const Point normal = cross(s[1] - s[0], s[2] - s[0]);
  const double a = dot(normal, t[0] - s[0]), b = dot(normal, t[1] - s[0]), c = dot(normal, t[2] - s[0]);
  return (a >= 0.0 && b >= 0.0 && c >= 0.0) || (a <= 0.0 && b <= 0.0 && c <= 0.0);
}

// Whether two triangles [3] cross: an edge of one passes through the other. Triangles in one plane or without area do not.
inline bool triangles_cross(const Point* s, const Point* t) {
  if (separated(s, t) || separated(t, s)) return false;
  for (int k = 0; k < 3; ++k) {
    const int next = (k + 1) % 3;
    if (segment_crosses(s[k], s[next], t[0], t[1], t[2]) || segment_crosses(t[k], t[next], s[0], s[1], s[2]))
      return true;
  }
  return false;
}

// out[t] = 1 where triangle t crosses another one with which it shares no vertex, else 0. Array [triangle_count]. The tree is that of
// the mesh, or of the same triangles at other vertices, and then fitted to these.
void crossing_triangles(const MeshView& mesh, const TriangleTree& tree, std::uint8_t* out);

}  // namespace diffmpm::geometry
