// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "core/sums.cuh"
#include "diffmpm/losses/grid_mass.hpp"
#include "diffmpm/losses/losses.hpp"

namespace diffmpm::cuda {

// Divides a single value.
struct Divide {
  std::int64_t count;
  double* value;
  double by;

  DIFFMPM_HD void operator()(std::int64_t) const { *value /= by; }
};

// Writes the value to device memory, without waiting.
template <class T, class Queue>
void grid_mass_loss_on(Queue& queue, MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref,
                       T outside_weight, T* adj_m, double* value) {
  visit_mass_loss(loss, [&](auto node) {
    put_sum(queue, count, MassTerm<T, decltype(node)>{m, target, m_ref, outside_weight, adj_m}, value);
  });
}

template <class T, class Queue>
void kinetic_loss_on(Queue& queue, std::int64_t count, const T* v, T* adj_v, double* value) {
  put_sum(queue, 3 * count, KineticTerm<T>(count, v, adj_v), value);
  queue.for_all(Divide{1, value, static_cast<double>(count)});
}

}  // namespace diffmpm::cuda
