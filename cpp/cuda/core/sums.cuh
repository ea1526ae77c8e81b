// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <utility>

#include "core/block.cuh"
#include "diffmpm/core/context.hpp"
#include "diffmpm/core/memory.hpp"

// Sums over chunks whose size depends on the number of terms alone: the same bits in every run.

namespace diffmpm::cuda {

// Most blocks of a sum: enough to fill a device, few enough for one block to add their results.
inline constexpr std::int64_t kSumBlocks = 1024;

// A stored term.
template <class V>
struct StoredTerm {
  const V* values;
  DIFFMPM_HD V operator()(std::int64_t n) const { return values[n]; }
};

template <class Term>
using ValueOf = decltype(std::declval<const Term&>()(std::int64_t{}));

// Sum, by +=, of one chunk of terms per block, rounded to Out.
template <class Term, class Out = ValueOf<Term>>
struct SumTerms {
  struct Args {
    std::int64_t count, chunk;
    Term term;
    Out* sums;  // one per block
  };
  struct Shared {
    ValueOf<Term> scratch[kThreads];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const std::int64_t first = block.index() * a.chunk, left = a.count - first;
    fold(block, s.scratch, static_cast<int>(left < a.chunk ? left : a.chunk), [&](int n) { return a.term(first + n); });
    block.for_each(1, [&](int) { a.sums[block.index()] = static_cast<Out>(s.scratch[0]); });
  }
};

// Writes the sum to device memory, without waiting.
template <class Term, class Queue>
void put_sum(Queue& queue, std::int64_t count, const Term& term, ValueOf<Term>* out) {
  using V = ValueOf<Term>;
  if (count == 0) return queue.clear(out, 1);
  const std::int64_t chunk = (count + kSumBlocks * kThreads - 1) / (kSumBlocks * kThreads) * kThreads;
  const std::int64_t chunks = (count + chunk - 1) / chunk;
  const Buffer<V> sums = queue.template allocate<V>(chunks);
  queue.template launch<SumTerms<Term>>(chunks, {count, chunk, term, sums.data()});
  queue.template launch<SumTerms<StoredTerm<V>>>(1, {chunks, chunks, {sums.data()}, out});
}

template <class Term, class Queue>
auto sum_terms(Queue& queue, std::int64_t count, const Term& term) {
  using V = ValueOf<Term>;
  V total{};
  if (count == 0) return total;
  const Buffer<V> sum = queue.template allocate<V>(1);
  put_sum(queue, count, term, sum.data());
  queue.to_host(&total, sum.data(), 1);
  return total;
}

}  // namespace diffmpm::cuda
