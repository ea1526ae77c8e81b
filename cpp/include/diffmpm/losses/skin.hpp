// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>

#include "diffmpm/core/macros.hpp"
#include "diffmpm/losses/losses.hpp"
#include "diffmpm/losses/proximity.hpp"

// Distance of a particle from the solid of the target (docs/method.md, section 4).

DIFFMPM_BEGIN_ISA

// Trilinear interpolation of the node values at x, shape (3); beyond the grid, the value at the nearest point of the grid plus the
// distance to that point. Continuous. Writes the gradient, shape (3); at a border of cells it is that of the upper cell.
template <class T>
DIFFMPM_HD T interpolate_field(const FieldGrid<T>& grid, const T* x, T* slope) {
  T t[3], away[3], squared = T(0);
  std::int64_t at[3];
  bool inside[3];
  for (int a = 0; a < 3; ++a) {
    const T last = static_cast<T>(grid.dims[a] - 1);
    const T u = (x[a] - grid.origin[a]) / grid.spacing;
    const T clamped = u < T(0) ? T(0) : u > last ? last : u;
    inside[a] = u >= T(0) && u <= last;
    away[a] = (u - clamped) * grid.spacing;
    squared += away[a] * away[a];
    at[a] = static_cast<std::int64_t>(clamped);
    if (at[a] > grid.dims[a] - 2) at[a] = grid.dims[a] - 2;
    t[a] = clamped - static_cast<T>(at[a]);
  }
  T value = T(0), d[3] = {T(0), T(0), T(0)};
  for (int corner = 0; corner < 8; ++corner) {
    T w[3], dw[3];
    std::int64_t node = 0;
    for (int a = 0; a < 3; ++a) {
      const bool upper = (corner >> a) & 1;
      w[a] = upper ? t[a] : T(1) - t[a];
      dw[a] = upper ? T(1) : T(-1);
      node = node * grid.dims[a] + at[a] + (upper ? 1 : 0);
    }
    const T v = grid.values[node];
    value += v * w[0] * w[1] * w[2];
    d[0] += v * dw[0] * w[1] * w[2], d[1] += v * w[0] * dw[1] * w[2], d[2] += v * w[0] * w[1] * dw[2];
  }
  const T distance = std::sqrt(squared);
  for (int a = 0; a < 3; ++a)
    slope[a] = (inside[a] ? d[a] / grid.spacing : T(0)) + (distance > T(0) ? away[a] / distance : T(0));
  return value + distance;
}

// Eq. 4.9: the penalty of the signed distance of a particle, divided by the number of particles. Writes adj_x.
template <class T>
struct SkinTerm {
  FieldGrid<T> grid;
  const T* x;
  T inverse_spacing, weight;
  T* adj_x;

  DIFFMPM_HD double operator()(std::int64_t p) const {
    T d[3], slope;
    const T distance = interpolate_field(grid, x + 3 * p, d);
    const T value = excess_penalty(distance * inverse_spacing, slope);
    for (int a = 0; a < 3; ++a) adj_x[3 * p + a] = weight * inverse_spacing * slope * d[a];
    return static_cast<double>(weight) * static_cast<double>(value);
  }
};

// `LossFunctions::skin` on the queue of either backend.
template <class T, class Queue>
void skin_loss_on(Queue& queue, std::int64_t count, const T* x, const FieldGrid<T>& distance, T spacing, T* adj_x,
                  double* value) {
  put_sum(queue, count, SkinTerm<T>{distance, x, T(1) / spacing, T(1) / static_cast<T>(count), adj_x}, value);
}

DIFFMPM_END_ISA
