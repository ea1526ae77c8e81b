// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "diffmpm/core/parallel.hpp"

// Stable parallel sorts. Every thread counts and moves a range of its own, in order, so that the result does not depend on
// the number of threads.

namespace diffmpm {

// Calls visit(t, begin, end) for `threads` ranges of [0, count), each on its own thread.
template <class Visit>
void parallel_ranges(std::int64_t count, int threads, const Visit& visit) {
  parallel_for(threads, 1, threads, [&](std::int64_t t) { visit(t, count * t / threads, count * (t + 1) / threads); });
}

// Counts (thread, bucket) to places: bucket by bucket, and in a bucket thread by thread. Returns the total.
inline std::uint32_t counts_to_places(std::vector<std::uint32_t>& counts, std::int64_t buckets, int threads) {
  std::uint32_t place = 0;
  for (std::int64_t b = 0; b < buckets; ++b)
    for (int t = 0; t < threads; ++t) place += std::exchange(counts[t * buckets + b], place);
  return place;
}

// Sorts `values` by `keys`, both of `count`, by least significant digits of 11 bits; `other_*` are as large. The result is
// where the first two point after the call.
template <class Key>
void radix_sort(std::int64_t count, Key*& keys, std::uint32_t*& values, Key*& other_keys, std::uint32_t*& other_values,
                int threads) {
  constexpr int kBits = 11;
  constexpr std::int64_t kBuckets = std::int64_t{1} << kBits;
  if (count < 2) return;
  const auto [low, high] = std::minmax_element(keys, keys + count);
  const Key base = *low, range = *high - base;
  std::vector<std::uint32_t> counts(threads * kBuckets);
  for (int shift = 0; shift < static_cast<int>(sizeof(Key)) * 8 && range >> shift; shift += kBits) {
    const auto bucket = [&](std::int64_t n) {
      return static_cast<std::int64_t>((keys[n] - base) >> shift) & (kBuckets - 1);
    };
    std::fill(counts.begin(), counts.end(), 0u);
    parallel_ranges(count, threads, [&](int t, std::int64_t begin, std::int64_t end) {
      std::uint32_t* own = counts.data() + t * kBuckets;
      for (std::int64_t n = begin; n < end; ++n) ++own[bucket(n)];
    });
    counts_to_places(counts, kBuckets, threads);
    parallel_ranges(count, threads, [&](int t, std::int64_t begin, std::int64_t end) {
      std::uint32_t* own = counts.data() + t * kBuckets;
      for (std::int64_t n = begin; n < end; ++n) {
        const std::uint32_t place = own[bucket(n)]++;
        other_keys[place] = keys[n], other_values[place] = values[n];
      }
    });
    std::swap(keys, other_keys), std::swap(values, other_values);
  }
}

}  // namespace diffmpm
