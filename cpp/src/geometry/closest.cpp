// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/closest.hpp"

#include <cstddef>
#include <numeric>
#include <vector>

#include "diffmpm/core/parallel.hpp"

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
};

// Bounding-volume hierarchy over the triangles of a mesh.
class TriangleTree {
 public:
  explicit TriangleTree(const MeshView& mesh) : order_(static_cast<std::size_t>(mesh.triangle_count)) {
    std::iota(order_.begin(), order_.end(), 0);
    std::vector<Box> boxes(order_.size());
    for (std::size_t t = 0; t < order_.size(); ++t) boxes[t] = box_of(mesh, static_cast<std::int64_t>(t));
    build(boxes);
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
  struct Node {
    Box box;
    std::int32_t begin, end;  // range of order_
    std::int32_t right = -1;  // second child; the first is the next node; -1 in a leaf
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

  // Splits at the median along the widest axis. Ties go by index, so that the tree is the same on every platform.
  void build(const std::vector<Box>& boxes) {
    struct Task {
      std::int32_t begin, end, parent;  // parent >= 0: the node is its second child
    };
    std::vector<Task> tasks{{0, static_cast<std::int32_t>(order_.size()), -1}};
    while (!tasks.empty()) {
      poll();
      const Task task = tasks.back();
      tasks.pop_back();
      const auto index = static_cast<std::int32_t>(nodes_.size());
      if (task.parent >= 0) nodes_[task.parent].right = index;
      Box all = boxes[order_[task.begin]];
      for (std::int32_t t = task.begin + 1; t < task.end; ++t)
        for (int axis = 0; axis < 3; ++axis) {
          all.low[axis] = std::min(all.low[axis], boxes[order_[t]].low[axis]);
          all.high[axis] = std::max(all.high[axis], boxes[order_[t]].high[axis]);
        }
      nodes_.push_back({all, task.begin, task.end});
      if (task.end - task.begin <= kLeafSize) continue;
      int axis = 0;
      for (int other = 1; other < 3; ++other)
        if (all.high[other] - all.low[other] > all.high[axis] - all.low[axis]) axis = other;
      const auto first = order_.begin() + task.begin, last = order_.begin() + task.end;
      const std::int32_t middle = task.begin + (task.end - task.begin) / 2;
      std::nth_element(first, order_.begin() + middle, last, [&](std::int32_t a, std::int32_t b) {
        const double at_a = boxes[a].low[axis] + boxes[a].high[axis], at_b = boxes[b].low[axis] + boxes[b].high[axis];
        return at_a != at_b ? at_a < at_b : a < b;
      });
      // Pushed last, the first child is taken next and becomes node index + 1.
      tasks.push_back({middle, task.end, index});
      tasks.push_back({task.begin, middle, -1});
    }
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
