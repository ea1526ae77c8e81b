// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "diffmpm/geometry/inside.hpp"
#include "diffmpm/geometry/median_tree.hpp"

namespace diffmpm::geometry {

// Axis-aligned box.
struct Box {
  double low[3], high[3];

  double squared_distance(const double* q) const {
    double sum = 0.0;
    for (int axis = 0; axis < 3; ++axis) {
      const double away = std::max({low[axis] - q[axis], q[axis] - high[axis], 0.0});
      sum += away * away;
    }
    return sum;
  }
  bool overlaps(const Box& other) const {
    for (int axis = 0; axis < 3; ++axis)
      if (low[axis] > other.high[axis] || other.low[axis] > high[axis]) return false;
    return true;
  }
  void add(const Box& other) {
    for (int axis = 0; axis < 3; ++axis) {
      low[axis] = std::min(low[axis], other.low[axis]);
      high[axis] = std::max(high[axis], other.high[axis]);
    }
  }
};

// Hierarchy of boxes over the triangles of a mesh. A node's first child is the next node.
struct TriangleTree {
  explicit TriangleTree(const MeshView& mesh);

  // Fits the boxes to other vertices of the same triangles. Searches are fast while triangles stay near their neighbours.
  void fit(const MeshView& mesh);

  static constexpr std::int32_t kLeafSize = 4;
  // Median splits: the depth is at most log2 of the number of triangles, which is below 31. A search leaves one node per level
  // on its stack.
  static constexpr int kStackSize = 64;

  struct Node : TreeRange {
    Box box;
  };

  std::vector<std::int32_t> order;  // triangles in tree order
  std::vector<Node> nodes;
  std::vector<Box> boxes;      // of each triangle, in tree order
  std::vector<Point> corners;  // three per triangle, in tree order
};

}  // namespace diffmpm::geometry
