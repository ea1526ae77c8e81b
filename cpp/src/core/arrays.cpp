// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/core/arrays.hpp"

#include <algorithm>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/core/sums.hpp"

namespace diffmpm {
namespace {

struct Host {
  template <class Term>
  static auto sum(const Context&, std::int64_t count, const Term& term) {
    return sum_terms(count, term);
  }
  template <class T>
  static void clear(const Context&, std::int64_t count, T* out) {
    std::fill_n(out, count, T(0));
  }
  template <class T>
  static void copy(const Context&, std::int64_t count, const T* a, T* out) {
    std::copy_n(a, count, out);
  }
  template <class Item>
  static void for_all(const Context&, const Item& item) {
    parallel_for(item.count, 4096, [&](std::int64_t n) { item(n); });
  }
};

}  // namespace

template <class T>
const ArrayFunctions<T>& ArrayFunctions<T>::host() {
  static constexpr ArrayFunctions kTable = array_functions<T, Host>();
  return kTable;
}

template const ArrayFunctions<float>& ArrayFunctions<float>::host();
template const ArrayFunctions<double>& ArrayFunctions<double>::host();

}  // namespace diffmpm
