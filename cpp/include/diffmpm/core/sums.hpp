// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "diffmpm/core/threads.hpp"

namespace diffmpm {

// Terms that are summed one after the other; the sums of the chunks follow in order.
inline constexpr std::int64_t kTermsOfChunk = 4096;

// Sum, by +=, of term(n) for n < count, on all threads: the same bits for any number of them.
template <class Term>
auto sum_terms(std::int64_t count, const Term& term) {
  using V = decltype(std::declval<const Term&>()(std::int64_t{}));
  const std::int64_t chunks = (count + kTermsOfChunk - 1) / kTermsOfChunk;
  std::vector<V> sums(static_cast<std::size_t>(chunks), V{});
#pragma omp parallel for num_threads(thread_count())
  for (std::int64_t c = 0; c < chunks; ++c) {
    V sum{};
    for (std::int64_t n = c * kTermsOfChunk; n < std::min(count, (c + 1) * kTermsOfChunk); ++n) sum += term(n);
    sums[static_cast<std::size_t>(c)] = sum;
  }
  V total{};
  for (const V& sum : sums) total += sum;
  return total;
}

}  // namespace diffmpm
