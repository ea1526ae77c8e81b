// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "diffmpm/core/threads.hpp"

namespace diffmpm {

// Sum of term(n) over n < count, in fixed chunks: the same bits for any number of threads.
template <class Term>
auto sum_chunks(std::int64_t count, const Term& term) {
  using V = decltype(std::declval<const Term&>()(std::int64_t{}));
  constexpr std::int64_t kChunk = 8192;
  const std::int64_t chunks = (count + kChunk - 1) / kChunk;
  std::vector<V> partial(static_cast<std::size_t>(chunks), V{});
#pragma omp parallel for schedule(static) num_threads(thread_count()) if (chunks > 1)
  for (std::int64_t c = 0; c < chunks; ++c) {
    V sum{};
    for (std::int64_t n = c * kChunk; n < std::min(count, (c + 1) * kChunk); ++n) sum += term(n);
    partial[static_cast<std::size_t>(c)] = sum;
  }
  V total{};
  for (const V& p : partial) total += p;
  return total;
}

}  // namespace diffmpm
