// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/density.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/math/mat3.hpp"

namespace diffmpm::geometry {
namespace {

constexpr double kReach = 3.0;  // standard deviations

struct Range {
  std::int64_t first, last;  // nodes first <= n < last
};

// Nodes of an axis within `reach` of a coordinate, both in cells.
Range nodes_near(double at, double reach, std::int64_t nodes) {
  const double n = static_cast<double>(nodes);
  return {static_cast<std::int64_t>(std::clamp(std::ceil(at - reach), 0.0, n)),
          static_cast<std::int64_t>(std::clamp(std::floor(at + reach) + 1.0, 0.0, n))};
}

struct Item {
  Mat3<double> precision;  // in cells^-2
  double mean[3];          // in cells
  double opacity;
  Range range[3];
};

}  // namespace

void opacity_density(const GaussianView& gaussians, const double* origin, double spacing, const std::int64_t* dims,
                     double* out) {
  std::vector<Item> items(gaussians.count);
  const double to_cells = 1.0 / spacing;
  parallel_for(gaussians.count, 1024, [&](std::int64_t g) {
    Item& item = items[g];
    Mat3<double> covar;
    for (int k = 0; k < 9; ++k) covar.m[k] = gaussians.covars[9 * g + k] * to_cells * to_cells;
    item.precision = inverse(covar), item.opacity = gaussians.opacities[g];
    for (int a = 0; a < 3; ++a) {
      item.mean[a] = (gaussians.means[3 * g + a] - origin[a]) * to_cells;
      item.range[a] = nodes_near(item.mean[a], kReach * std::sqrt(covar.m[4 * a]), dims[a]);
    }
  });
  parallel_for(dims[0], 1, [&](std::int64_t i) {
    double* plane = out + i * dims[1] * dims[2];
    std::fill_n(plane, dims[1] * dims[2], 0.0);
    SparsePoll sparse_poll;
    for (const Item& item : items) {
      sparse_poll(1);
      if (i < item.range[0].first || i >= item.range[0].last) continue;
      sparse_poll(static_cast<std::uint32_t>((item.range[1].last - item.range[1].first) *
                                             (item.range[2].last - item.range[2].first)));
      Vec3<double> d;
      d[0] = static_cast<double>(i) - item.mean[0];
      for (std::int64_t j = item.range[1].first; j < item.range[1].last; ++j) {
        d[1] = static_cast<double>(j) - item.mean[1];
        for (std::int64_t k = item.range[2].first; k < item.range[2].last; ++k) {
          d[2] = static_cast<double>(k) - item.mean[2];
          const double square = dot(d, mul(item.precision, d));
          if (square <= kReach * kReach) plane[j * dims[2] + k] += item.opacity * std::exp(-0.5 * square);
        }
      }
    }
  });
}

}  // namespace diffmpm::geometry
