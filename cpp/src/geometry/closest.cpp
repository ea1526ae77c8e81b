// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/closest.hpp"

#include <algorithm>
#include <vector>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/geometry/median_tree.hpp"

namespace diffmpm::geometry {
namespace {

constexpr std::int32_t kLeafSize = 4;
// Median splits: the depth is at most log2 of the number of triangles, which is below 31. Each level leaves one node on the stack.
constexpr int kStackSize = 64;

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
  void add(const Box& other) {
    for (int axis = 0; axis < 3; ++axis) {
      low[axis] = std::min(low[axis], other.low[axis]);
      high[axis] = std::max(high[axis], other.high[axis]);
    }
  }
};

// Bounding-volume hierarchy over the triangles of a mesh.
class TriangleTree {
 public:
  explicit TriangleTree(const MeshView& mesh) {
    std::vector<Box> boxes(mesh.triangle_count);
    std::vector<Point> centers(mesh.triangle_count);
    for (std::int64_t t = 0; t < mesh.triangle_count; ++t) {
      const Box& box = boxes[t] = box_of(mesh, t);
      centers[t] = 0.5 * (Point{box.low[0], box.low[1], box.low[2]} + Point{box.high[0], box.high[1], box.high[2]});
    }
    for (const TreeRange& range : median_tree(centers, kLeafSize, order_)) nodes_.push_back({range, {}});
    parallel_for(static_cast<std::int64_t>(nodes_.size()), 64, [&](std::int64_t n) {
      Node& node = nodes_[n];
      node.box = boxes[order_[node.begin]];
      for (std::int32_t t = node.begin + 1; t < node.end; ++t) node.box.add(boxes[order_[t]]);
    });
    corners_.reserve(3 * order_.size());
    for (const std::int32_t t : order_)
      for (int k = 0; k < 3; ++k) corners_.push_back(mesh.corner(t, k));
  }

  std::int32_t closest(const double* q, double* weights) const {
    const Point query{q[0], q[1], q[2]};
    struct Pending {
      std::int32_t node;
      double squared;
    } stack[kStackSize];
    int top = 0;
    stack[top++] = {0, nodes_[0].box.squared_distance(q)};
    Foot best;
    std::int32_t triangle = order_[0];
    while (top > 0) {
      const Pending next = stack[--top];
      if (next.squared > best.squared) continue;
      const Node& node = nodes_[next.node];
      if (node.right < 0) {
        for (std::int32_t t = node.begin; t < node.end; ++t) {
          const Foot foot = closest_on_triangle(query, corners_[3 * t], corners_[3 * t + 1], corners_[3 * t + 2]);
          if (foot.squared < best.squared || (foot.squared == best.squared && order_[t] < triangle))
            best = foot, triangle = order_[t];
        }
        continue;
      }
      Pending near{next.node + 1, nodes_[next.node + 1].box.squared_distance(q)};
      Pending far{node.right, nodes_[node.right].box.squared_distance(q)};
      if (far.squared < near.squared) std::swap(near, far);
      stack[top++] = far;
      stack[top++] = near;
    }
    std::copy_n(best.weights, 3, weights);
    return triangle;
  }

 private:
  struct Node : TreeRange {
    Box box;
  };

  static Box box_of(const MeshView& mesh, std::int64_t t) {
    Box box;
    for (int axis = 0; axis < 3; ++axis) {
      const auto at = [&](int k) { return mesh.vertices[3 * std::int64_t{mesh.triangles[3 * t + k]} + axis]; };
      box.low[axis] = std::min({at(0), at(1), at(2)});
      box.high[axis] = std::max({at(0), at(1), at(2)});
    }
    return box;
  }

  std::vector<std::int32_t> order_;
  std::vector<Node> nodes_;
  std::vector<Point> corners_;  // three per triangle, in tree order
};

}  // namespace

void closest_on_mesh(const MeshView& mesh, const double* points, std::int64_t count, std::int32_t* triangle,
                     double* weights) {
  const TriangleTree tree(mesh);
  parallel_for(count, 16, [&](std::int64_t i) { triangle[i] = tree.closest(points + 3 * i, weights + 3 * i); });
}

}  // namespace diffmpm::geometry
