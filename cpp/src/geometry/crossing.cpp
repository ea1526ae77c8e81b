// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/crossing.hpp"

#include <algorithm>
#include <atomic>

#include "diffmpm/core/parallel.hpp"

namespace diffmpm::geometry {
namespace {

bool share_vertex(const std::int32_t* s, const std::int32_t* t) {
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j)
      if (s[i] == t[j]) return true;
  return false;
}

// Sets the flags of the triangles of a leaf, and of later ones, that cross each other.
void flag_crossing(const TriangleTree& tree, const MeshView& mesh, const TriangleTree::Node& leaf, std::uint8_t* out) {
  const auto flag = [&](std::int32_t t) { return std::atomic_ref<std::uint8_t>(out[tree.order[t]]); };
  const auto vertices = [&](std::int32_t t) { return mesh.triangles + 3 * std::int64_t{tree.order[t]}; };
  std::int32_t stack[TriangleTree::kStackSize];
  int top = 0;
  stack[top++] = 0;
  while (top > 0) {
    const std::int32_t number = stack[--top];
    const TriangleTree::Node& node = tree.nodes[number];
    if (node.end <= leaf.begin || !node.box.overlaps(leaf.box)) continue;
    if (node.right >= 0) {
      stack[top++] = node.right;
      stack[top++] = number + 1;
      continue;
    }
    for (std::int32_t s = leaf.begin; s < leaf.end; ++s) {
      if (!node.box.overlaps(tree.boxes[s])) continue;
      for (std::int32_t t = std::max(node.begin, s + 1); t < node.end; ++t)
        if (tree.boxes[t].overlaps(tree.boxes[s]) && !share_vertex(vertices(s), vertices(t)) &&
            triangles_cross(&tree.corners[3 * s], &tree.corners[3 * t])) {
          flag(s).store(1, std::memory_order_relaxed);
          flag(t).store(1, std::memory_order_relaxed);
        }
    }
  }
}

}  // namespace

void crossing_triangles(const MeshView& mesh, const TriangleTree& tree, std::uint8_t* out) {
  std::fill(out, out + mesh.triangle_count, 0);
  parallel_for(static_cast<std::int64_t>(tree.nodes.size()), 64, [&](std::int64_t n) {
    if (tree.nodes[n].right < 0) flag_crossing(tree, mesh, tree.nodes[n], out);
  });
}

}  // namespace diffmpm::geometry
