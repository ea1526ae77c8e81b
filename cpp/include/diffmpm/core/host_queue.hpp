// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include "diffmpm/core/context.hpp"
#include "diffmpm/core/memory.hpp"
#include "diffmpm/core/parallel.hpp"
#include "diffmpm/core/sums.hpp"

// The queue of the CPU, with the part of the interface of cuda::Queue that drivers of both backends use. Work is done at once.

namespace diffmpm {

class HostQueue {
 public:
  explicit HostQueue(const Context&) {}
  template <class V>
  Buffer<V> allocate(std::int64_t count) const {
    return Buffer<V>(static_cast<std::size_t>(count));
  }
  template <class Item>
  void for_all(const Item& item) const {
    parallel_for(item.count, 4096, [&](std::int64_t n) { item(n); });
  }
  template <class V>
  void clear(V* values, std::int64_t count) const {
    std::fill_n(values, count, V(0));
  }
  template <class V>
  void copy(V* to, const V* from, std::int64_t count) const {
    std::copy_n(from, count, to);
  }
  template <class V>
  void to_host(V* to, const V* from, std::int64_t count) const {
    std::copy_n(from, count, to);
  }
};

template <class Term>
auto sum_terms(const HostQueue&, std::int64_t count, const Term& term) {
  return sum_terms(count, term);
}
template <class Term, class V>
void put_sum(const HostQueue&, std::int64_t count, const Term& term, V* out) {
  *out = sum_terms(count, term);
}

}  // namespace diffmpm
