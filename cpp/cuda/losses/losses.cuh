// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "core/sums.cuh"
#include "diffmpm/losses/grid_mass.hpp"
#include "diffmpm/losses/losses.hpp"

// Losses, as cpp/src/losses/losses.cpp has them: value in double precision, gradient into an array, sums over fixed chunks.

namespace diffmpm::cuda {

template <class T, class Node>
struct MassTerm {
  const T *m, *target;
  T m_ref, outside_weight;
  T* adj_m;

  DIFFMPM_HD double operator()(std::int64_t n) const {
    return static_cast<double>(weighted_mass_node<Node>(m[n], target[n], m_ref, outside_weight, adj_m[n]));
  }
};

template <class T>
struct KineticTerm {
  const T* v;
  T slope;  // 2 / particles
  T* adj_v;

  DIFFMPM_HD double operator()(std::int64_t n) const {
    adj_v[n] = slope * v[n];
    return static_cast<double>(v[n]) * static_cast<double>(v[n]);
  }
};

// One value.
struct Divide {
  std::int64_t count;
  double* value;
  double by;

  DIFFMPM_HD void operator()(std::int64_t) const { *value /= by; }
};

// The value goes into memory of the device, without waiting.
template <class T, class Queue>
void put_loss_grid_mass_on(Queue& queue, MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref,
                           T outside_weight, T* adj_m, double* value) {
  visit_mass_loss(loss, [&](auto node) {
    put_sum(queue, count, MassTerm<T, decltype(node)>{m, target, m_ref, outside_weight, adj_m}, value);
  });
}

template <class T, class Queue>
void put_loss_kinetic_on(Queue& queue, std::int64_t count, const T* v, T* adj_v, double* value) {
  const T slope = T(2) * (T(1) / static_cast<T>(count));
  put_sum(queue, 3 * count, KineticTerm<T>{v, slope, adj_v}, value);
  queue.for_all(Divide{1, value, static_cast<double>(count)});
}

// put(value), and the value on the host.
template <class Queue, class Put>
double waited_for(Queue& queue, const Put& put) {
  const Buffer<double> there = queue.template allocate<double>(1);
  put(there.data());
  double value = 0;
  queue.to_host(&value, there.data(), 1);
  return value;
}

template <class T, class Queue>
double loss_grid_mass_on(Queue& queue, MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref,
                         T outside_weight, T* adj_m) {
  return waited_for(queue, [&](double* value) {
    put_loss_grid_mass_on(queue, loss, count, m, target, m_ref, outside_weight, adj_m, value);
  });
}

template <class T, class Queue>
double loss_kinetic_on(Queue& queue, std::int64_t count, const T* v, T* adj_v) {
  return waited_for(queue, [&](double* value) { put_loss_kinetic_on(queue, count, v, adj_v, value); });
}

}  // namespace diffmpm::cuda
