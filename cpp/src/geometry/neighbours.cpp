// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/neighbours.hpp"

#include "diffmpm/core/parallel.hpp"

namespace diffmpm::geometry {
namespace {

// Limit on the number of cells, of 4 bytes each: per point, or in all for few points. It lets a solid of spacing h in cells of
// h / 2 fill a quarter of its bounding box.
constexpr std::int64_t kCellsPerPoint = 32;
constexpr std::int64_t kFewCells = 1 << 20;
// Points whose 8th neighbours give the mean spacing; with so many their median is accurate to 2 %.
constexpr std::int64_t kSpacingProbes = 2000;
constexpr int kSpacingNeighbours = 8;
constexpr std::uint32_t kPointRounds = 8;  // of SparsePoll, per scattered write

struct Extent {
  double low = 0, high = 0;
};

// Range of one coordinate.
Extent extent(const double* points, std::int64_t count, int axis) {
  Extent e{points[axis], points[axis]};
  SparsePoll sparse_poll;
  for (std::int64_t p = 1; p < count; ++p) {
    sparse_poll();
    e.low = std::min(e.low, points[3 * p + axis]);
    e.high = std::max(e.high, points[3 * p + axis]);
  }
  return e;
}

double median(const double* points, std::int64_t count, int axis) {
  std::vector<double> values(count);
  for (std::int64_t p = 0; p < count; ++p) values[p] = points[3 * p + axis];
  const auto middle = values.begin() + count / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

CellList::CellList(const double* points, std::int64_t count, double edge) : edge_(edge), inverse_edge_(1 / edge) {
  if (count == 0) {
    start_.assign(2, 0);
    return;
  }
  Extent extents[3];
  double size[3], magnitude = 0;
  for (int a = 0; a < 3; ++a) {
    extents[a] = extent(points, count, a);
    size[a] = std::floor((extents[a].high - extents[a].low) / edge) + 1;
    magnitude = std::max({magnitude, std::abs(extents[a].low), std::abs(extents[a].high)});
  }
  slack_ = 8 * std::numeric_limits<double>::epsilon() * (magnitude + edge);
  const double limit = static_cast<double>(std::max(kFewCells, kCellsPerPoint * count));
  while (size[0] * size[1] * size[2] > limit) {
    double& widest = *std::max_element(size, size + 3);
    widest = std::max(1.0, std::floor(0.5 * widest));
  }
  for (int a = 0; a < 3; ++a) {
    dims_[a] = static_cast<std::int64_t>(size[a]);
    const Extent& e = extents[a];
    const double width = size[a] * edge;
    low_[a] = e.low;
    if (e.high - e.low >= width)  // the cells cover only part of the extent: centre them on the bulk of the points
      low_[a] = std::clamp(median(points, count, a) - 0.5 * width, e.low, e.high - width);
  }
  const std::int64_t cells = dims_[0] * dims_[1] * dims_[2];
  std::vector<std::int32_t> cell_of(count);
  start_.assign(cells + 1, 0);
  SparsePoll sparse_poll;
  for (std::int64_t p = 0; p < count; ++p) {
    sparse_poll(kPointRounds);
    const double* at = points + 3 * p;
    const std::int64_t c = (cell(at[0], 0) * dims_[1] + cell(at[1], 1)) * dims_[2] + cell(at[2], 2);
    cell_of[p] = static_cast<std::int32_t>(c);
    ++start_[c + 1];
  }
  for (std::int64_t c = 0; c < cells; ++c) start_[c + 1] += start_[c];
  index_.resize(count);
  for (std::vector<double>* v : {&x_, &y_, &z_}) v->assign(count + kPadding, 0.0);
  std::vector<std::int32_t> next(start_.begin(), start_.end() - 1);
  for (std::int64_t p = 0; p < count; ++p) {
    sparse_poll(kPointRounds);
    const std::int32_t s = next[cell_of[p]]++;
    index_[s] = static_cast<std::int32_t>(p);
    x_[s] = points[3 * p], y_[s] = points[3 * p + 1], z_[s] = points[3 * p + 2];
  }
}

std::int64_t CellList::nearest(const Point& q, std::int64_t k, double radius, std::int32_t* slots,
                               double* squared) const {
  k = std::min(k, count());
  for (;; radius *= 2) {
    std::int64_t size = 0;
    visit_within(q, radius, [&](std::int32_t slot, double r2) {
      const auto precedes = [&](std::int64_t n) {
        return r2 < squared[n] || (r2 == squared[n] && index(slot) < index(slots[n]));
      };
      if (size == k && !precedes(k - 1)) return;
      std::int64_t at = size < k ? size++ : k - 1;
      for (; at > 0 && precedes(at - 1); --at) squared[at] = squared[at - 1], slots[at] = slots[at - 1];
      squared[at] = r2, slots[at] = slot;
    });
    if (size == k) return k;
  }
}

double mean_spacing(const double* points, std::int64_t count) {
  if (count < 2) return 0;
  double volume = 1, widest = 0;
  for (int a = 0; a < 3; ++a) {
    const Extent e = extent(points, count, a);
    volume *= e.high - e.low;
    widest = std::max(widest, e.high - e.low);
  }
  if (!(widest > 0)) return 0;
  // Spacing if the points filled their bounding box; bounded below for sheets and strings.
  const double guess = std::max(std::cbrt(volume / static_cast<double>(count)), 1e-3 * widest);
  const CellList cells(points, count, guess);
  const std::int64_t stride = std::max<std::int64_t>(1, count / kSpacingProbes), probes = (count + stride - 1) / stride;
  std::vector<double> distances(probes);
  parallel_for(probes, 32, [&](std::int64_t n) {
    const double* at = points + 3 * n * stride;
    std::int32_t slots[kSpacingNeighbours + 1];
    double squared[kSpacingNeighbours + 1];
    const std::int64_t size = cells.nearest({at[0], at[1], at[2]}, kSpacingNeighbours + 1, guess, slots, squared);
    distances[n] = squared[size - 1];
  });
  const auto middle = distances.begin() + probes / 2;
  std::nth_element(distances.begin(), middle, distances.end());
  double r2 = *middle;
  if (!(r2 > 0)) r2 = *std::max_element(distances.begin(), distances.end());
  constexpr double kPi = 0.25 * kFourPi;
  return std::cbrt(kPi / 6.0) * std::sqrt(r2);
}

}  // namespace diffmpm::geometry
