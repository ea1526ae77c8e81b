// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "diffmpm/geometry/solid_angle.hpp"

namespace diffmpm::geometry {

// Largest rank that neighbour_distance takes.
inline constexpr int kMostNeighbours = 16;

// A k-d tree over points: nearest neighbours at any distance, of points of any distribution. CellList is for searches
// within a radius of about the spacing.
class PointTree {
 public:
  // points[count][3], finite; copied.
  PointTree(const double* points, std::int64_t count);

  std::int64_t count() const { return count_; }

  // distance[i] from queries[i] to the nearest point; infinity without points. queries[n][3], distance[n].
  void nearest(const double* queries, std::int64_t n, double* distance) const;

  // distance[p] from point p to its rank-th neighbour, itself not counted; 1 <= rank <= min(kMostNeighbours, count - 1).
  void neighbour_distance(int rank, double* distance) const;

  // outer[p] = 1 where at least one of the `n` balls around point p + steps[k] with this radius holds no point.
  void outer(const Point* steps, std::int64_t n, double radius, std::uint8_t* outer) const;

 private:
  struct Box {
    double low[3], high[3];
    double squared_distance(const Point& q) const;
  };
  struct Item {
    double c[3];
    std::int32_t index;
  };

  // Slots of a node. The tree is complete: node n has the children 2 n and 2 n + 1, the root is 1, leaves have one depth.
  std::int64_t begin(std::int64_t node, int depth) const {
    return (count_ * (node - (std::int64_t{1} << depth))) >> depth;
  }

  Box bounds(const std::vector<Item>& items, std::int64_t first, std::int64_t last) const;

  // Visits leaves in the order of their distance, as long as they may hold a point nearer than the square root of the
  // bound that visit(begin, end) returns.
  template <class Visit>
  void search(const Point& q, double bound, Visit&& visit) const;

  std::int64_t count_ = 0;
  int depth_ = 0;  // of the leaves
  std::vector<Box> boxes_;
  std::vector<std::int32_t> index_;
  std::vector<double> x_, y_, z_;
};

}  // namespace diffmpm::geometry
