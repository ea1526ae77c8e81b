// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/median_tree.hpp"

#include <algorithm>
#include <numeric>

#include "diffmpm/core/call.hpp"

namespace diffmpm::geometry {
namespace {

double coordinate(const Point& p, int axis) { return axis == 0 ? p.x : axis == 1 ? p.y : p.z; }

// Edges of the bounding box.
Point extent(const std::vector<Point>& centers, const std::int32_t* begin, const std::int32_t* end) {
  Point low = centers[*begin], high = low;
  for (const std::int32_t* t = begin; t != end; ++t) {
    const Point& c = centers[*t];
    low = {std::min(low.x, c.x), std::min(low.y, c.y), std::min(low.z, c.z)};
    high = {std::max(high.x, c.x), std::max(high.y, c.y), std::max(high.z, c.z)};
  }
  return high - low;
}

}  // namespace

std::vector<TreeRange> median_tree(const std::vector<Point>& centers, std::int32_t leaf_size,
                                   std::vector<std::int32_t>& order, double widest) {
  struct Task {
    std::int32_t begin, end, parent;  // parent >= 0: the node is its second child
  };
  const auto count = static_cast<std::int32_t>(centers.size());
  order.resize(centers.size());
  std::iota(order.begin(), order.end(), 0);
  std::vector<TreeRange> nodes;
  std::vector<Task> tasks;
  if (count > 0) tasks.push_back({0, count, -1});
  while (!tasks.empty()) {
    poll();
    const Task task = tasks.back();
    tasks.pop_back();
    const auto index = static_cast<std::int32_t>(nodes.size());
    if (task.parent >= 0) nodes[task.parent].right = index;
    nodes.push_back({task.begin, task.end, -1});
    const std::int32_t items = task.end - task.begin;
    if (items == 1 || (items <= leaf_size && widest == std::numeric_limits<double>::infinity())) continue;
    std::int32_t* first = order.data() + task.begin;
    std::int32_t* last = order.data() + task.end;
    const Point d = extent(centers, first, last);
    const int axis = d.x >= d.y && d.x >= d.z ? 0 : (d.y >= d.z ? 1 : 2);
    if (items <= leaf_size && coordinate(d, axis) <= widest) continue;
    const std::int32_t middle = task.begin + items / 2;
    std::nth_element(first, order.data() + middle, last, [&](std::int32_t a, std::int32_t b) {
      const double ca = coordinate(centers[a], axis), cb = coordinate(centers[b], axis);
      return ca != cb ? ca < cb : a < b;
    });
    // Pushed last, the first child is taken next and becomes node index + 1.
    tasks.push_back({middle, task.end, index});
    tasks.push_back({task.begin, middle, -1});
  }
  return nodes;
}

}  // namespace diffmpm::geometry
