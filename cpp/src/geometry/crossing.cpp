// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/crossing.hpp"

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/geometry/triangle_tree.hpp"

namespace diffmpm::geometry {
namespace {

bool share_vertex(const std::int32_t* s, const std::int32_t* t) {
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j)
      if (s[i] == t[j]) return true;
  return false;
}

// Whether the triangle at a position in tree order crosses another one.
bool crosses_another(const TriangleTree& tree, const MeshView& mesh, std::int64_t at) {
  const Point* own = &tree.corners[3 * at];
  const std::int32_t* vertices = mesh.triangles + 3 * std::int64_t{tree.order[at]};
  std::int32_t stack[TriangleTree::kStackSize];
  int top = 0;
  stack[top++] = 0;
  while (top > 0) {
    const std::int32_t number = stack[--top];
    const TriangleTree::Node& node = tree.nodes[number];
    if (!node.box.overlaps(tree.boxes[at])) continue;
    if (node.right >= 0) {
      stack[top++] = node.right;
      stack[top++] = number + 1;
      continue;
    }
    for (std::int32_t t = node.begin; t < node.end; ++t) {
      const Point* other = &tree.corners[3 * t];
      if (tree.boxes[t].overlaps(tree.boxes[at]) &&
          !share_vertex(vertices, mesh.triangles + 3 * std::int64_t{tree.order[t]}) && triangles_cross(own, other))
        return true;
    }
  }
  return false;
}

}  // namespace

void crossing_triangles(const MeshView& mesh, std::uint8_t* out) {
  const TriangleTree tree(mesh);
  parallel_for(mesh.triangle_count, 64,
               [&](std::int64_t at) { out[tree.order[at]] = crosses_another(tree, mesh, at); });
}

}  // namespace diffmpm::geometry
