// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "diffmpm/geometry/solid_angle.hpp"

namespace diffmpm::geometry {

// Values after the last coordinate that a vector load may read.
inline constexpr int kPadding = 8;

// Points sorted into cubic cells, for searches within a radius. Points of a cell keep the order of the input, so every search
// visits points in the same order on any machine and for any number of threads.
class CellList {
 public:
  CellList() = default;
  // points[count][3], finite; edge > 0 of the cells. The box of cells covers the bulk of the points. The outermost cells reach
  // to infinity and hold the outliers, so that those cost no memory.
  CellList(const double* points, std::int64_t count, double edge);

  std::int64_t count() const { return static_cast<std::int64_t>(index_.size()); }
  // Coordinates by slot, padded by kPadding values, and the index in the input of the point in a slot.
  const double* x() const { return x_.data(); }
  const double* y() const { return y_.data(); }
  const double* z() const { return z_.data(); }
  std::int32_t index(std::int64_t slot) const { return index_[slot]; }
  Point point(std::int64_t slot) const { return {x_[slot], y_[slot], z_[slot]}; }

  // Calls visit(begin, end) for runs of slots that together contain every point within `radius` of q; they may contain others.
  template <class Visit>
  void visit_runs(const Point& q, double radius, Visit&& visit) const {
    const std::int64_t i0 = cell(q.x - radius, 0), i1 = cell(q.x + radius, 0);
    const std::int64_t j0 = cell(q.y - radius, 1), j1 = cell(q.y + radius, 1);
    for (std::int64_t i = i0; i <= i1; ++i) {
      const double dx = gap(q.x, i, 0), left_x = radius * radius - dx * dx;
      for (std::int64_t j = j0; j <= j1; ++j) {
        const double dy = gap(q.y, j, 1), left = left_x - dy * dy;
        if (left < 0) continue;
        const double half = std::sqrt(left) + slack_;
        const std::int64_t row = (i * dims_[1] + j) * dims_[2];
        const std::int32_t begin = start_[row + cell(q.z - half, 2)], end = start_[row + cell(q.z + half, 2) + 1];
        if (begin < end) visit(begin, end);
      }
    }
  }

  // Calls visit(slot, squared distance) for each point within `radius` of q.
  template <class Visit>
  void visit_within(const Point& q, double radius, Visit&& visit) const {
    const double squared = radius * radius;
    visit_runs(q, radius, [&](std::int32_t begin, std::int32_t end) {
      for (std::int32_t s = begin; s < end; ++s) {
        const double dx = x_[s] - q.x, dy = y_[s] - q.y, dz = z_[s] - q.z;
        const double r2 = dx * dx + dy * dy + dz * dz;
        if (r2 < squared) visit(s, r2);
      }
    });
  }

  // Slots and squared distances of the k points nearest to q, by distance, ties by index. Returns their number, which is below k
  // only if there are fewer points. The search starts within `radius`, which grows as needed.
  std::int64_t nearest(const Point& q, std::int64_t k, double radius, std::int32_t* slots, double* squared) const;

 private:
  std::int64_t cell(double value, int axis) const {
    const double c = std::floor((value - low_[axis]) * inverse_edge_);
    return static_cast<std::int64_t>(std::clamp(c, 0.0, static_cast<double>(dims_[axis] - 1)));
  }
  // Distance along an axis from a coordinate to a cell; the outermost cells reach to infinity.
  double gap(double value, std::int64_t c, int axis) const {
    const double from = low_[axis] + edge_ * static_cast<double>(c);
    if (c > 0 && value < from) return std::max(0.0, from - value - slack_);
    if (c < dims_[axis] - 1 && value > from + edge_) return std::max(0.0, value - from - edge_ - slack_);
    return 0.0;
  }

  double low_[3] = {0, 0, 0};
  double edge_ = 1, inverse_edge_ = 1, slack_ = 0;  // slack: bound on the rounding of cell borders
  std::int64_t dims_[3] = {1, 1, 1};
  std::vector<std::int32_t> start_, index_;
  std::vector<double> x_, y_, z_;
};

// Mean spacing h of points that fill a solid, the edge of the cube per point, from the median distance r to the 8th neighbour:
// 4/3 pi r^3 = 8 h^3. 0 for fewer than two distinct points.
double mean_spacing(const double* points, std::int64_t count);

}  // namespace diffmpm::geometry
