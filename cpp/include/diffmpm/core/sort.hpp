// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "diffmpm/core/parallel.hpp"

// Stable parallel sorts. Each thread counts and moves a range of its own, in order, so that the result does not depend on the
// number of threads.

namespace diffmpm {

// Counting sort of the values that visit(begin, end, emit) passes to emit(bucket, value) for a range of [0, count). Calls
// store(position, value) for each. Returns the begin of each bucket, and the end of the last one.
template <class Visit, class Store>
std::vector<std::uint32_t> counting_sort(std::int64_t count, std::int64_t buckets, int threads, const Visit& visit,
                                         const Store& store) {
  std::vector<std::uint32_t> positions(threads * buckets), begin(buckets + 1);
  const auto run = [&](const auto& emit) {
    parallel_for(threads, 1, threads, [&](std::int64_t t) {
      visit(count * t / threads, count * (t + 1) / threads,
            [&, own = positions.data() + t * buckets](std::int64_t bucket, const auto& value) {
              emit(own[bucket], value);
            });
    });
  };
  run([](std::uint32_t& size, const auto&) { ++size; });
  // In order of buckets, and of threads within a bucket.
  std::uint32_t total = 0;
  for (std::int64_t b = 0; b < buckets; ++b) {
    begin[b] = total;
    for (int t = 0; t < threads; ++t) total += std::exchange(positions[t * buckets + b], total);
  }
  begin[buckets] = total;
  run([&](std::uint32_t& position, const auto& value) { store(position++, value); });
  return begin;
}

// Sorts `values` by `keys`, by least significant digits of 11 bits.
template <class Key>
void radix_sort(std::vector<Key>& keys, std::vector<std::uint32_t>& values, int threads) {
  constexpr int kBits = 11;
  constexpr std::int64_t kBuckets = std::int64_t{1} << kBits;
  if (keys.size() < 2) return;
  const auto [low, high] = std::minmax_element(keys.begin(), keys.end());
  const Key base = *low, range = *high - base;
  std::vector<Key> sorted_keys(keys.size());
  std::vector<std::uint32_t> sorted_values(keys.size());
  for (int shift = 0; shift < static_cast<int>(sizeof(Key)) * 8 && range >> shift; shift += kBits) {
    const Key* from = keys.data();
    counting_sort(
        static_cast<std::int64_t>(keys.size()), kBuckets, threads,
        [&](std::int64_t begin, std::int64_t end, const auto& emit) {
          for (std::int64_t n = begin; n < end; ++n)
            emit(static_cast<std::int64_t>((from[n] - base) >> shift) & (kBuckets - 1), n);
        },
        [&, to_keys = sorted_keys.data(), to_values = sorted_values.data(), from_values = values.data()](
            std::uint32_t position, std::int64_t n) {
          to_keys[position] = from[n], to_values[position] = from_values[n];
        });
    keys.swap(sorted_keys), values.swap(sorted_values);
  }
}

}  // namespace diffmpm
