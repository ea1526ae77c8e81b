// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "core/sums.cuh"
#include "diffmpm/losses/transport.hpp"

// Passes of the transport loss with one thread per node.

namespace diffmpm::cuda {

template <class T>
struct LogSum {
  std::int64_t count;  // nodes
  std::int64_t lines;
  int length;
  const T *h, *cost;
  T* out;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    const std::int64_t line = n % lines;
    const int x[1] = {static_cast<int>(n / lines)};
    T sum[1];
    log_sums(length, x, cost, [&](int y) { return h[y * lines + line]; }, sum);
    out[line * length + x[0]] = sum[0];
  }
};

template <class T>
struct Costs {
  std::int64_t count;  // 2 length - 1
  double slope;
  T* cost;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    const double d = static_cast<double>(n - count / 2);
    cost[n] = static_cast<T>(slope * d * d);
  }
};

template <class Queue>
struct TransportPasses : Queue {
  template <class T>
  void log_sums(std::int64_t length, std::int64_t lines, const T* h, double slope, T* out) {
    const Buffer<T> cost = this->template allocate<T>(2 * length - 1);
    this->for_all(Costs<T>{2 * length - 1, slope, cost.data()});
    this->for_all(LogSum<T>{length * lines, lines, static_cast<int>(length), h, cost.data() + length - 1, out});
  }
};

template <class T, class Queue>
void transport_loss_on(Queue& queue, const TransportOptions& options, const T* m, const T* target, T* dual, T* adj_m,
                       double* value) {
  TransportPasses<Queue> passes{queue};
  Transport<T, TransportPasses<Queue>>(passes, options).evaluate(m, target, dual, adj_m, value);
}

}  // namespace diffmpm::cuda
