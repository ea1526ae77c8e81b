// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "core/block.cuh"
#include "diffmpm/core/memory.hpp"
#include "diffmpm/losses/grid_mass.hpp"
#include "diffmpm/losses/losses.hpp"

// Losses, as cpp/src/losses/losses.cpp has them: value in double precision, gradient into an array, sums over fixed chunks.

namespace diffmpm::cuda {

inline constexpr int kLossChunk = 4096;  // terms a block

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

// A term that is there already.
struct StoredTerm {
  const double* values;
  DIFFMPM_HD double operator()(std::int64_t n) const { return values[n]; }
};

// Sum of a chunk of terms a block.
template <class Term>
struct SumTerms {
  struct Args {
    std::int64_t count, chunk;
    Term term;
    double* sums;  // one a block
  };
  struct Shared {
    double scratch[kThreads];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const std::int64_t first = block.index() * a.chunk, left = a.count - first;
    fold(block, s.scratch, static_cast<int>(left < a.chunk ? left : a.chunk), [&](int n) { return a.term(first + n); });
    block.for_each(1, [&](int) { a.sums[block.index()] = s.scratch[0]; });
  }
};

template <class Term, class Queue>
double sum_terms(Queue& queue, std::int64_t count, const Term& term) {
  if (count == 0) return 0;
  const std::int64_t chunks = (count + kLossChunk - 1) / kLossChunk;
  const Buffer<double> sums = queue.template allocate<double>(chunks + 1);
  queue.template launch<SumTerms<Term>>(chunks, {count, kLossChunk, term, sums.data()});
  queue.template launch<SumTerms<StoredTerm>>(1, {chunks, chunks, {sums.data()}, sums.data() + chunks});
  double total = 0;
  queue.to_host(&total, sums.data() + chunks, 1);
  return total;
}

template <class T, class Queue>
double loss_grid_mass_on(Queue& queue, MassLoss kind, std::int64_t count, const T* m, const T* target, T m_ref,
                         T outside_weight, T* adj_m) {
  return kind == MassLoss::log
             ? sum_terms(queue, count, MassTerm<T, LogMassNode>{m, target, m_ref, outside_weight, adj_m})
             : sum_terms(queue, count, MassTerm<T, SquaredMassNode>{m, target, m_ref, outside_weight, adj_m});
}

template <class T, class Queue>
double loss_kinetic_on(Queue& queue, std::int64_t count, const T* v, T* adj_v) {
  const T slope = T(2) * (T(1) / static_cast<T>(count));
  return sum_terms(queue, 3 * count, KineticTerm<T>{v, slope, adj_v}) / static_cast<double>(count);
}

}  // namespace diffmpm::cuda
