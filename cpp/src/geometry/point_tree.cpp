// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/point_tree.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "diffmpm/core/parallel.hpp"

namespace diffmpm::geometry {
namespace {

// Largest leaf: the distances to so few points cost less than those to further boxes.
constexpr std::int64_t kLeafSize = 8;
// Above the length of any path, because indices have 31 bits.
constexpr int kStackSize = 64;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

double PointTree::Box::squared_distance(const Point& q) const {
  const double dx = std::max({low[0] - q.x, q.x - high[0], 0.0});
  const double dy = std::max({low[1] - q.y, q.y - high[1], 0.0});
  const double dz = std::max({low[2] - q.z, q.z - high[2], 0.0});
  return dx * dx + dy * dy + dz * dz;
}

PointTree::Box PointTree::bounds(const std::vector<Item>& items, std::int64_t first, std::int64_t last) {
  Box box{{kInfinity, kInfinity, kInfinity}, {-kInfinity, -kInfinity, -kInfinity}};
  for (std::int64_t s = first; s < last; ++s)
    for (int a = 0; a < 3; ++a) {
      const double c = items[s].c[a];
      box.low[a] = std::min(box.low[a], c), box.high[a] = std::max(box.high[a], c);
    }
  return box;
}

PointTree::PointTree(const double* points, std::int64_t count) : count_(count) {
  std::vector<Item> items(count);
  SparsePoll sparse_poll;
  for (std::int64_t p = 0; p < count; ++p, sparse_poll())
    items[p] = {{points[3 * p], points[3 * p + 1], points[3 * p + 2]}, static_cast<std::int32_t>(p)};
  while ((count >> depth_) > kLeafSize) ++depth_;
  boxes_.resize(std::size_t{2} << depth_);
  // Level by level: the nodes of a level are independent. Ties go by index, so that the tree is the same on every platform.
  for (int depth = 0; depth <= depth_; ++depth) {
    const std::int64_t first_node = std::int64_t{1} << depth;
    parallel_for(first_node, std::max<std::int64_t>(1, first_node >> 8), [&](std::int64_t n) {
      const std::int64_t node = first_node + n;
      const std::int64_t first = begin(node, depth), last = begin(node + 1, depth);
      const Box box = bounds(items, first, last);
      boxes_[node] = box;
      if (depth == depth_) return;
      int axis = 0;
      for (int a = 1; a < 3; ++a)
        if (box.high[a] - box.low[a] > box.high[axis] - box.low[axis]) axis = a;
      std::nth_element(items.begin() + first, items.begin() + begin(2 * node + 1, depth + 1), items.begin() + last,
                       [axis](const Item& a, const Item& b) {
                         return a.c[axis] != b.c[axis] ? a.c[axis] < b.c[axis] : a.index < b.index;
                       });
    });
  }
  index_.resize(count_), x_.resize(count_), y_.resize(count_), z_.resize(count_);
  for (std::int64_t s = 0; s < count_; ++s, sparse_poll())
    index_[s] = items[s].index, x_[s] = items[s].c[0], y_[s] = items[s].c[1], z_[s] = items[s].c[2];
}

template <class Visit>
void PointTree::search(const Point& q, double bound, Visit&& visit) const {
  struct Entry {
    std::int64_t node;
    int depth;
    double squared;
  };
  Entry stack[kStackSize];
  int top = 0;
  stack[top++] = {1, 0, boxes_[1].squared_distance(q)};
  while (top > 0) {
    Entry e = stack[--top];
    while (e.squared < bound) {
      if (e.depth == depth_) {
        bound = visit(begin(e.node, e.depth), begin(e.node + 1, e.depth));
        break;
      }
      Entry near{2 * e.node, e.depth + 1, boxes_[2 * e.node].squared_distance(q)};
      Entry far{2 * e.node + 1, e.depth + 1, boxes_[2 * e.node + 1].squared_distance(q)};
      if (far.squared < near.squared) std::swap(near, far);
      stack[top++] = far;
      e = near;
    }
  }
}

void PointTree::nearest(const double* queries, std::int64_t n, double* distance, std::int32_t* index) const {
  parallel_for(n, 64, [&](std::int64_t i) {
    const Point q{queries[3 * i], queries[3 * i + 1], queries[3 * i + 2]};
    double best = kInfinity;
    std::int32_t at = -1;
    search(q, kInfinity, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t s = first; s < last; ++s) {
        const double squared = squared_distance(q, s);
        if (squared < best || (squared == best && index_[s] < at)) best = squared, at = index_[s];
      }
      return std::nextafter(best, kInfinity);  // also visits leaves with a point at the same distance
    });
    distance[i] = std::sqrt(best);
    if (index) index[i] = at;
  });
}

int PointTree::nearest(const Point& q, int k, double* squared, std::int32_t* index) const {
  k = static_cast<int>(std::min<std::int64_t>(k, count_));
  std::fill(squared, squared + k, kInfinity), std::fill(index, index + k, -1);
  search(q, kInfinity, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t s = first; s < last; ++s) {
      const double d = squared_distance(q, s);
      if (d >= squared[k - 1]) continue;
      int at = k - 1;
      for (; at > 0 && d < squared[at - 1]; --at) squared[at] = squared[at - 1], index[at] = index[at - 1];
      squared[at] = d, index[at] = index_[s];
    }
    return squared[k - 1];
  });
  return k;
}

void PointTree::neighbour_distance(int rank, double* distance) const {
  parallel_for(count_, 64, [&](std::int64_t own) {
    double squared[kMostNeighbours];  // the first is that of the point itself
    std::int32_t index[kMostNeighbours];
    nearest({x_[own], y_[own], z_[own]}, rank + 1, squared, index);
    distance[index_[own]] = std::sqrt(squared[rank]);
  });
}

void PointTree::outer(const Point* steps, std::int64_t n, double radius, std::uint8_t* outer) const {
  const double squared_radius = radius * radius;
  parallel_for(count_, 64, [&](std::int64_t own) {
    bool occupied = true;
    for (std::int64_t k = 0; k < n && occupied; ++k) {
      const Point q = Point{x_[own], y_[own], z_[own]} + steps[k];
      occupied = false;
      search(q, squared_radius, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t s = first; s < last && !occupied; ++s) occupied = squared_distance(q, s) < squared_radius;
        return occupied ? 0.0 : squared_radius;  // a bound of 0 ends the search
      });
    }
    outer[index_[own]] = occupied ? 0 : 1;
  });
}

}  // namespace diffmpm::geometry
