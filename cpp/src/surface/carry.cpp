// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/surface/carry.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/geometry/point_tree.hpp"
#include "diffmpm/math/mat3.hpp"
#include "diffmpm/math/polar3.hpp"

namespace diffmpm::surface {
namespace {

using geometry::Point;
using geometry::PointTree;
using Vector = Vec3<double>;
using Matrix = Mat3<double>;

constexpr int kAffineNeighbours = 20;  // particles of a local affine map: those within about 1.7 spacings
constexpr int kBlended = 12;           // particles whose affine maps are blended at a point
constexpr int kSurfaceNeighbours = 6;  // vertices of a surface that define the distance to it
static_assert(kAffineNeighbours < geometry::kMostNeighbours);
// Pull of an affine map towards its rotation where the neighbours do not determine it, over their mean variance.
constexpr double kStiffness = 0.01;
// Determinant of the moments, over their cubed variance, below which the neighbours have no rotation.
constexpr double kFlat = 1e-6;
constexpr double kLeastWeight = std::numeric_limits<float>::epsilon();  // before normalisation: no sum of weights is 0
constexpr double kTiny = std::numeric_limits<double>::min();            // bounds divisors

Vector vector_at(const double* array, std::int64_t i) { return {{array[3 * i], array[3 * i + 1], array[3 * i + 2]}}; }

// A point as an affine function of another one.
struct AffineMap {
  Matrix linear;
  Vector shift;
};

// The points of a tree nearest to another one, with weights that add up to 1 and vanish at the distance of the next point, so that
// they are continuous.
template <int kCount>
struct Neighbours {
  Neighbours() = default;
  Neighbours(const PointTree& tree, const Vector& q) {
    double squared[kCount + 1];
    std::int32_t nearest[kCount + 1];
    const int count = tree.nearest({q[0], q[1], q[2]}, kCount + 1, squared, nearest);
    size = std::max(1, count - 1);
    reach = squared[count - 1];
    double sum = 0;
    for (int k = 0; k < size; ++k) {
      const double left = 1 - squared[k] / std::max(reach, kTiny);
      index[k] = nearest[k];
      sum += weight[k] = left * left + kLeastWeight;
    }
    for (int k = 0; k < size; ++k) weight[k] /= sum;
  }

  int size = 0;
  double reach = 0;  // squared distance at which the weights vanish
  std::int32_t index[kCount];
  double weight[kCount];
};

// Map of the neighbourhood of a particle by weighted least squares, regularised towards a rigid motion, so that those are exact.
AffineMap fit_map(const PointTree& particles, const double* before, const double* after, std::int64_t own) {
  const Neighbours<kAffineNeighbours> near(particles, vector_at(before, own));
  Vector x = Vector::zero(), y = Vector::zero();
  for (int k = 0; k < near.size; ++k) {
    x += near.weight[k] * vector_at(before, near.index[k]);
    y += near.weight[k] * vector_at(after, near.index[k]);
  }
  Matrix moments = Matrix::zero(), mixed = Matrix::zero();
  for (int k = 0; k < near.size; ++k) {
    const Vector from = vector_at(before, near.index[k]) - x, to = vector_at(after, near.index[k]) - y;
    moments += outer_product(near.weight[k] * from, from), mixed += outer_product(near.weight[k] * to, from);
  }
  const double variance = trace(moments) / 3;
  Matrix linear = Matrix::identity();
  if (near.reach > 0 && variance > kTiny) {  // not all at one place
    mixed = (1 / variance) * mixed;
    // Its rotation is that of a rigid motion, exactly (shape matching; Müller, Heidelberger, Teschner and Gross 2005).
    const Matrix rotation = determinant(mixed) > kFlat ? polar_rotation(mixed) : Matrix::identity();
    linear = mul(mixed + kStiffness * rotation, inverse(((1 / variance) * moments).add_diagonal(kStiffness)));
  }
  return {linear, y - mul(linear, x)};
}

// Solves for kColumns columns from `first` of `columns`.
template <int kColumns>
void solve_columns(const Factorisation& A, const double* b, int first, int columns, double* x) {
  using Row = std::array<double, kColumns>;
  const std::int64_t n = A.size();
  std::vector<Row> y(n);
  for (std::int64_t i = 0; i < n; ++i) std::copy_n(b + i * columns + first, kColumns, y[A.order[i]].begin());
  SparsePoll sparse_poll;
  for (std::int64_t j = 0; j < n; ++j, sparse_poll()) {
    const Row own = y[j];
    for (std::int32_t e = A.start[j]; e < A.start[j + 1]; ++e)
      for (int k = 0; k < kColumns; ++k) y[A.row[e]][k] -= A.value[e] * own[k];
  }
  for (std::int64_t j = n - 1; j >= 0; --j, sparse_poll()) {
    Row own = y[j];
    for (double& value : own) value /= A.diagonal[j];
    for (std::int32_t e = A.start[j]; e < A.start[j + 1]; ++e)
      for (int k = 0; k < kColumns; ++k) own[k] -= A.value[e] * y[A.row[e]][k];
    y[j] = own;
  }
  for (std::int64_t i = 0; i < n; ++i) std::copy_n(y[A.order[i]].begin(), kColumns, x + i * columns + first);
}

}  // namespace

void displacements(const PointTree& particles, const double* before, const double* after, const double* points,
                   std::int64_t n, double* displacement, double* gradient) {
  std::vector<Neighbours<kBlended>> near(n);
  parallel_for(n, 64, [&](std::int64_t i) { near[i] = Neighbours<kBlended>(particles, vector_at(points, i)); });
  std::vector<std::uint8_t> used(particles.count());
  for (const auto& own : near)
    for (int k = 0; k < own.size; ++k) used[own.index[k]] = 1;
  std::vector<AffineMap> maps(particles.count());
  parallel_for(particles.count(), 64, [&](std::int64_t p) {
    if (used[p]) maps[p] = fit_map(particles, before, after, p);
  });
  parallel_for(n, 256, [&](std::int64_t i) {
    AffineMap map{Matrix::zero(), Vector::zero()};
    for (int k = 0; k < near[i].size; ++k) {
      const AffineMap& other = maps[near[i].index[k]];
      map.linear += near[i].weight[k] * other.linear, map.shift += near[i].weight[k] * other.shift;
    }
    map.linear -= Matrix::identity();
    const Vector moved = mul(map.linear, vector_at(points, i)) + map.shift;
    std::copy(moved.c, moved.c + 3, displacement + 3 * i);
    std::copy(map.linear.m, map.linear.m + 9, gradient + 9 * i);
  });
}

void distances(const PointTree& tree, const double* vertices, const float* normals, const double* points,
               std::int64_t n, double* distance, double* normal) {
  parallel_for(n, 64, [&](std::int64_t i) {
    const Vector q = vector_at(points, i);
    const Neighbours<kSurfaceNeighbours> near(tree, q);
    Vector mean = Vector::zero();
    double height = 0;
    for (int k = 0; k < near.size; ++k) {
      const float* at = normals + 3 * std::int64_t{near.index[k]};
      const Vector direction = {{at[0], at[1], at[2]}};
      mean += near.weight[k] * direction;
      height += near.weight[k] * dot(q - vector_at(vertices, near.index[k]), direction);
    }
    mean = (1 / std::max(std::sqrt(dot(mean, mean)), kTiny)) * mean;
    distance[i] = height;
    std::copy(mean.c, mean.c + 3, normal + 3 * i);
  });
}

void solve(const Factorisation& A, const double* b, int columns, double* x) {
  int first = 0;
  for (; first + 9 <= columns; first += 9) solve_columns<9>(A, b, first, columns, x);
  for (; first + 3 <= columns; first += 3) solve_columns<3>(A, b, first, columns, x);
  for (; first < columns; ++first) solve_columns<1>(A, b, first, columns, x);
}

}  // namespace diffmpm::surface
