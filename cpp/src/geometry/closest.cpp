// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/closest.hpp"

#include <algorithm>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/geometry/triangle_tree.hpp"

namespace diffmpm::geometry {
namespace {

std::int32_t closest(const TriangleTree& tree, const double* q, double* weights) {
  const Point query{q[0], q[1], q[2]};
  struct Pending {
    std::int32_t node;
    double squared;
  } stack[TriangleTree::kStackSize];
  int top = 0;
  stack[top++] = {0, tree.nodes[0].box.squared_distance(q)};
  Foot best;
  std::int32_t triangle = tree.order[0];
  while (top > 0) {
    const Pending next = stack[--top];
    if (next.squared > best.squared) continue;
    const TriangleTree::Node& node = tree.nodes[next.node];
    if (node.right < 0) {
      for (std::int32_t t = node.begin; t < node.end; ++t) {
        const Point* corners = &tree.corners[3 * t];
        const Foot foot = closest_on_triangle(query, corners[0], corners[1], corners[2]);
        if (foot.squared < best.squared || (foot.squared == best.squared && tree.order[t] < triangle))
          best = foot, triangle = tree.order[t];
      }
      continue;
    }
    Pending near{next.node + 1, tree.nodes[next.node + 1].box.squared_distance(q)};
    Pending far{node.right, tree.nodes[node.right].box.squared_distance(q)};
    if (far.squared < near.squared) std::swap(near, far);
    stack[top++] = far;
    stack[top++] = near;
  }
  std::copy_n(best.weights, 3, weights);
  return triangle;
}

}  // namespace

void closest_on_mesh(const MeshView& mesh, const double* points, std::int64_t count, std::int32_t* triangle,
                     double* weights) {
  const TriangleTree tree(mesh);
  parallel_for(count, 16, [&](std::int64_t i) { triangle[i] = closest(tree, points + 3 * i, weights + 3 * i); });
}

}  // namespace diffmpm::geometry
