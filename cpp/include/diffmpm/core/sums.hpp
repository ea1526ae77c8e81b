// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "diffmpm/core/parallel.hpp"

namespace diffmpm {

// Sum, by +=, of term(n) for n < count: the same bits for any number of threads. Terms are added in order within chunks, then the
// sums of the chunks in order.
template <std::int64_t kChunk = 4096, class Term>
auto sum_terms(std::int64_t count, const Term& term) {
  using V = decltype(std::declval<const Term&>()(std::int64_t{}));
  const std::int64_t chunks = (count + kChunk - 1) / kChunk;
  std::vector<V> sums(static_cast<std::size_t>(chunks), V{});
  parallel_for(chunks, 1, [&](std::int64_t c) {
    V sum{};
    for (std::int64_t n = c * kChunk; n < std::min(count, (c + 1) * kChunk); ++n) sum += term(n);
    sums[static_cast<std::size_t>(c)] = sum;
  });
  V total{};
  for (const V& sum : sums) total += sum;
  return total;
}

}  // namespace diffmpm
