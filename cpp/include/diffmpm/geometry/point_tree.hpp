// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "diffmpm/geometry/solid_angle.hpp"

namespace diffmpm::geometry {

// Most neighbours of a search.
inline constexpr int kMostNeighbours = 24;

// A k-d tree: nearest neighbours at any distance, for any distribution of points. CellList is for searches within a radius
// near the spacing.
class PointTree {
 public:
  // points[count][3], finite; copied.
  PointTree(const double* points, std::int64_t count);

  std::int64_t count() const { return count_; }

  // distance[i] = distance from queries[i] to the nearest point; infinity for an empty tree. queries[n][3], distance[n]. Optionally
  // index[n], the nearest point; of several at one distance the one with the lowest index; -1 for an empty tree.
  void nearest(const double* queries, std::int64_t n, double* distance, std::int32_t* index = nullptr) const;

  // Squared distances and indices of the k points nearest to q, by distance; 1 <= k <= kMostNeighbours. Returns their number, which is
  // below k only if there are fewer points.
  int nearest(const Point& q, int k, double* squared, std::int32_t* index) const;

  // distance[p] = distance from point p to its rank-th neighbour, itself excluded; 1 <= rank < min(kMostNeighbours, count).
  void neighbour_distance(int rank, double* distance) const;

  // outer[p] = 1 if at least one of the `n` balls around point p + steps[k] with this radius contains no point.
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

  // First slot of a node. The tree is complete: the root is 1, node n has the children 2 n and 2 n + 1, all leaves have depth_.
  std::int64_t begin(std::int64_t node, int depth) const {
    return (count_ * (node - (std::int64_t{1} << depth))) >> depth;
  }

  static Box bounds(const std::vector<Item>& items, std::int64_t first, std::int64_t last);

  // Calls visit(begin, end) for leaves, nearest first, while their squared distance is below the bound; each call returns the
  // next bound.
  template <class Visit>
  void search(const Point& q, double bound, Visit&& visit) const;
  double squared_distance(const Point& q, std::int64_t slot) const {
    const double dx = q.x - x_[slot], dy = q.y - y_[slot], dz = q.z - z_[slot];
    return dx * dx + dy * dy + dz * dz;
  }

  std::int64_t count_ = 0;
  int depth_ = 0;  // of the leaves
  std::vector<Box> boxes_;
  std::vector<std::int32_t> index_;
  std::vector<double> x_, y_, z_;
};

}  // namespace diffmpm::geometry
