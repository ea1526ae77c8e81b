// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/closest.hpp"

#include <algorithm>

#include "diffmpm/core/parallel.hpp"

namespace diffmpm::geometry {
std::int32_t closest(const TriangleTree& tree, const Point& q, Foot& foot) {
  const double at[3] = {q.x, q.y, q.z};
  struct Pending {
    std::int32_t node;
    double squared;
  } stack[TriangleTree::kStackSize];
  int top = 0;
  if (!tree.nodes.empty()) stack[top++] = {0, tree.nodes[0].box.squared_distance(at)};
  std::int32_t nearest = -1;
  while (top > 0) {
    const Pending next = stack[--top];
    if (next.squared > foot.squared) continue;
    const TriangleTree::Node& node = tree.nodes[next.node];
    if (node.right < 0) {
      for (std::int32_t t = node.begin; t < node.end; ++t) {
        const Point* corners = &tree.corners[3 * t];
        const Foot own = closest_on_triangle(q, corners[0], corners[1], corners[2]);
        const bool first = nearest < 0 || tree.order[t] < tree.order[nearest];
        if (own.squared < foot.squared || (own.squared == foot.squared && first)) foot = own, nearest = t;
      }
      continue;
    }
    Pending near{next.node + 1, tree.nodes[next.node + 1].box.squared_distance(at)};
    Pending far{node.right, tree.nodes[node.right].box.squared_distance(at)};
    if (far.squared < near.squared) std::swap(near, far);
    stack[top++] = far;
    stack[top++] = near;
  }
  return nearest;
}

void closest_on_mesh(const MeshView& mesh, const double* points, std::int64_t count, std::int32_t* triangle,
                     double* weights) {
  const TriangleTree tree(mesh);
  parallel_for(count, 16, [&](std::int64_t i) {
    Foot foot;
    const std::int32_t nearest = closest(tree, {points[3 * i], points[3 * i + 1], points[3 * i + 2]}, foot);
    triangle[i] = tree.order[std::max(nearest, 0)];  // no triangle is nearest if the distances overflow
    std::copy_n(foot.weights, 3, weights + 3 * i);
  });
}

}  // namespace diffmpm::geometry
