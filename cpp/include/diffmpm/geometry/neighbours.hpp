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

// Values that a vector load may touch after the last coordinate.
inline constexpr int kPadding = 8;

// Points sorted into cubic cells, for searches within a radius. The order of the points within a cell is that of the
// caller, so every search meets its points in the same order on any machine and for any thread count.
class CellList {
 public:
  CellList() = default;
  // points[count][3], finite; edge > 0 of the cells. The box of cells covers the bulk of the points; a few that lie far away
  // are put into its outermost cells, which reach to infinity, so that they cost no memory.
  CellList(const double* points, std::int64_t count, double edge);

  std::int64_t count() const { return static_cast<std::int64_t>(index_.size()); }
  // Coordinates (kPadding more of them can be read) and the caller's index of the point in a slot.
  const double* x() const { return x_.data(); }
  const double* y() const { return y_.data(); }
  const double* z() const { return z_.data(); }
  std::int32_t index(std::int64_t slot) const { return index_[static_cast<std::size_t>(slot)]; }
  Point point(std::int64_t slot) const {
    const auto s = static_cast<std::size_t>(slot);
    return {x_[s], y_[s], z_[s]};
  }

  // Calls visit(begin, end) for runs of slots that together hold every point within `radius` of q, and others.
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
        const std::size_t row = static_cast<std::size_t>((i * dims_[1] + j) * dims_[2]);
        const std::int32_t begin = start_[row + static_cast<std::size_t>(cell(q.z - half, 2))];
        const std::int32_t end = start_[row + static_cast<std::size_t>(cell(q.z + half, 2)) + 1];
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
        const auto n = static_cast<std::size_t>(s);
        const double dx = x_[n] - q.x, dy = y_[n] - q.y, dz = z_[n] - q.z;
        const double r2 = dx * dx + dy * dy + dz * dz;
        if (r2 < squared) visit(s, r2);
      }
    });
  }

  // The `wanted` points nearest to q in order of distance, ties in order of index: slots and squared distances. Fewer only
  // where there are not as many. `radius` is where the search starts; it grows as needed.
  std::int64_t nearest(const Point& q, std::int64_t wanted, double radius, std::int32_t* slots, double* squared) const;

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
  double edge_ = 1, inverse_edge_ = 1, slack_ = 0;  // slack: rounding of cell borders
  std::int64_t dims_[3] = {1, 1, 1};
  std::vector<std::int32_t> start_, index_;
  std::vector<double> x_, y_, z_;
};

// Mean spacing of points that fill a solid: the edge of the cube that each has for itself, from the median distance r to
// the 8th neighbour, 4/3 pi r^3 = 8 h^3. 0 where fewer than two different points exist.
double mean_spacing(const double* points, std::int64_t count);

}  // namespace diffmpm::geometry
