// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/triangle_tree.hpp"

#include "diffmpm/core/parallel.hpp"

namespace diffmpm::geometry {
namespace {

Box box_of(const MeshView& mesh, std::int64_t t) {
  Box box;
  for (int axis = 0; axis < 3; ++axis) {
    const auto at = [&](int k) { return mesh.vertices[3 * std::int64_t{mesh.triangles[3 * t + k]} + axis]; };
    box.low[axis] = std::min({at(0), at(1), at(2)});
    box.high[axis] = std::max({at(0), at(1), at(2)});
  }
  return box;
}

}  // namespace

TriangleTree::TriangleTree(const MeshView& mesh) {
  std::vector<Point> centers(mesh.triangle_count);
  for (std::int64_t t = 0; t < mesh.triangle_count; ++t) {
    const Box box = box_of(mesh, t);
    centers[t] = 0.5 * (Point{box.low[0], box.low[1], box.low[2]} + Point{box.high[0], box.high[1], box.high[2]});
  }
  for (const TreeRange& range : median_tree(centers, kLeafSize, order)) nodes.push_back({range, {}});
  fit(mesh);
}

void TriangleTree::fit(const MeshView& mesh) {
  boxes.resize(order.size()), corners.resize(3 * order.size());
  parallel_for(static_cast<std::int64_t>(order.size()), 256, [&](std::int64_t at) {
    boxes[at] = box_of(mesh, order[at]);
    for (int k = 0; k < 3; ++k) corners[3 * at + k] = mesh.corner(order[at], k);
  });
  SparsePoll sparse_poll;
  for (std::int64_t n = static_cast<std::int64_t>(nodes.size()) - 1; n >= 0; --n, sparse_poll()) {  // children first
    Node& node = nodes[n];
    if (node.right >= 0) {
      node.box = nodes[n + 1].box;
      node.box.add(nodes[node.right].box);
      continue;
    }
    node.box = boxes[node.begin];
    for (std::int32_t t = node.begin + 1; t < node.end; ++t) node.box.add(boxes[t]);
  }
}

}  // namespace diffmpm::geometry
