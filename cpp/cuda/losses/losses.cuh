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
void put_loss_grid_mass_on(Queue& queue, MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref,
                           T outside_weight, T* adj_m, double* value) {
  visit_mass_loss(loss, [&](auto node) {
    put_sum(queue, count, MassTerm<T, decltype(node)>{m, target, m_ref, outside_weight, adj_m}, value);
  });
}

template <class T, class Queue>
void put_loss_kinetic_on(Queue& queue, std::int64_t count, const T* v, T* adj_v, double* value) {
  put_sum(queue, 3 * count, KineticTerm<T>(count, v, adj_v), value);
  queue.for_all(Divide{1, value, static_cast<double>(count)});
}

// Calls put(pointer to a value on the device) and returns the value.
template <class Queue, class Put>
double value_on_host(Queue& queue, const Put& put) {
  const Buffer<double> on_device = queue.template allocate<double>(1);
  put(on_device.data());
  double value = 0;
  queue.to_host(&value, on_device.data(), 1);
  return value;
}

template <class T, class Queue>
double loss_grid_mass_on(Queue& queue, MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref,
                         T outside_weight, T* adj_m) {
  return value_on_host(queue, [&](double* value) {
    put_loss_grid_mass_on(queue, loss, count, m, target, m_ref, outside_weight, adj_m, value);
  });
}

template <class T, class Queue>
double loss_kinetic_on(Queue& queue, std::int64_t count, const T* v, T* adj_v) {
  return value_on_host(queue, [&](double* value) { put_loss_kinetic_on(queue, count, v, adj_v, value); });
}

}  // namespace diffmpm::cuda
