// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

#include "core/search.cuh"
#include "core/sums.cuh"
#include "diffmpm/losses/proximity.hpp"

namespace diffmpm::cuda {

// The nearest particle of a target point. One thread compares all particles, 2e10 distances for 300,000 particles and 60,000 points:
// a search structure would cost more code, and its construction several kernels per evaluation.
template <class T>
struct FindNearest {
  std::int64_t count;  // target points
  std::int64_t particles;
  const T *x, *y;
  std::int32_t* nearest;
  std::uint64_t* keys;  // the same, for the sort
  Index* points;

  DIFFMPM_HD void operator()(std::int64_t k) const {
    const T q[3] = {y[3 * k], y[3 * k + 1], y[3 * k + 2]};
    T best = std::numeric_limits<T>::infinity();
    std::int32_t at = 0;
    for (std::int32_t p = 0; p < particles; ++p) {
      const T* c = x + 3 * std::int64_t{p};
      const T d[3] = {c[0] - q[0], c[1] - q[1], c[2] - q[2]};
      const T squared = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
      if (squared < best) best = squared, at = p;
    }
    nearest[k] = at, keys[k] = static_cast<std::uint64_t>(at), points[k] = static_cast<Index>(k);
  }
};

// Adds the adjoints of the target points of one particle, which are adjacent after the sort; the first point does it.
template <class T>
struct AddToNearest {
  std::int64_t count;  // target points
  const std::uint64_t* keys;
  const Index* points;
  const T* adj;
  T* adj_x;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    if (n > 0 && keys[n - 1] == keys[n]) return;
    T sum[3] = {T(0), T(0), T(0)};
    for (std::int64_t s = n; s < count && keys[s] == keys[n]; ++s)
      for (int a = 0; a < 3; ++a) sum[a] += adj[3 * std::int64_t{points[s]} + a];
    for (int a = 0; a < 3; ++a) adj_x[3 * static_cast<std::int64_t>(keys[n]) + a] = sum[a];
  }
};

template <class T, class Queue>
void proximity_loss_on(Queue& queue, std::int64_t count, const T* x, std::int64_t points, const T* y, T spacing,
                       T reach, T* adj_x, double* value) {
  const auto nearest = queue.template allocate<std::int32_t>(points);
  const auto keys = queue.template allocate<std::uint64_t>(points);
  const auto order = queue.template allocate<Index>(points);
  const auto adj = queue.template allocate<T>(3 * points);
  queue.for_all(FindNearest<T>{points, count, x, y, nearest.data(), keys.data(), order.data()});
  put_sum(queue, points,
          ProximityTerm<T>{x, y, nearest.data(), T(1) / spacing, reach, T(1) / static_cast<T>(points), adj.data()},
          value);
  queue.sort_pairs(keys.data(), order.data(), points, std::bit_width(static_cast<std::uint64_t>(count)));
  queue.clear(adj_x, 3 * count);
  queue.for_all(AddToNearest<T>{points, keys.data(), order.data(), adj.data(), adj_x});
}

}  // namespace diffmpm::cuda
