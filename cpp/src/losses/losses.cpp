// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/losses/losses.hpp"

#include <algorithm>
#include <vector>

#include "diffmpm/core/threads.hpp"
#include "diffmpm/losses/grid_mass.hpp"

namespace diffmpm {
namespace {

constexpr std::int64_t kChunk = 8192;

// Sum of term(n) over n < count, in fixed chunks.
template <class Term>
double sum_chunks(std::int64_t count, const Term& term) {
  const std::int64_t chunks = (count + kChunk - 1) / kChunk;
  std::vector<double> partial(static_cast<std::size_t>(chunks), 0.0);
#pragma omp parallel for schedule(static) num_threads(thread_count())
  for (std::int64_t c = 0; c < chunks; ++c) {
    double sum = 0;
    for (std::int64_t n = c * kChunk; n < std::min(count, (c + 1) * kChunk); ++n) sum += term(n);
    partial[static_cast<std::size_t>(c)] = sum;
  }
  double total = 0;
  for (double p : partial) total += p;
  return total;
}

template <class Node, class T>
double sum_nodes(std::int64_t count, const T* m, const T* target, T m_ref, T outside_weight, T* adj_m) {
  return sum_chunks(count, [&](std::int64_t n) {
    return static_cast<double>(weighted_mass_node<Node>(m[n], target[n], m_ref, outside_weight, adj_m[n]));
  });
}

}  // namespace

template <class T>
double loss_grid_mass(MassLoss kind, std::int64_t count, const T* m, const T* target, T m_ref, T outside_weight,
                      T* adj_m) {
  return kind == MassLoss::log ? sum_nodes<LogMassNode>(count, m, target, m_ref, outside_weight, adj_m)
                               : sum_nodes<SquaredMassNode>(count, m, target, m_ref, outside_weight, adj_m);
}

template <class T>
double loss_kinetic(std::int64_t count, const T* v, T* adj_v) {
  const T scale = T(1) / static_cast<T>(count);
  return sum_chunks(3 * count,
                    [&](std::int64_t n) {
                      adj_v[n] = T(2) * scale * v[n];
                      return static_cast<double>(v[n]) * static_cast<double>(v[n]);
                    }) /
         static_cast<double>(count);
}

template double loss_grid_mass<float>(MassLoss, std::int64_t, const float*, const float*, float, float, float*);
template double loss_grid_mass<double>(MassLoss, std::int64_t, const double*, const double*, double, double, double*);
template double loss_kinetic<float>(std::int64_t, const float*, float*);
template double loss_kinetic<double>(std::int64_t, const double*, double*);

}  // namespace diffmpm
