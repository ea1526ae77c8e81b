// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/core/arrays.hpp"

#include "core/queue.cuh"
#include "core/sums.cuh"

namespace diffmpm {
namespace {

struct Device {
  template <class Term>
  static auto sum(const Context& context, std::int64_t count, const Term& term) {
    cuda::Queue queue(context);
    return cuda::sum_terms(queue, count, term);
  }
  template <class T>
  static void clear(const Context& context, std::int64_t count, T* out) {
    cuda::Queue(context).clear(out, count);
  }
  template <class T>
  static void copy(const Context& context, std::int64_t count, const T* a, T* out) {
    cuda::Queue(context).copy(out, a, count);
  }
  template <class Item>
  static void for_all(const Context& context, const Item& item) {
    cuda::Queue(context).for_all(item);
  }
};

}  // namespace

template <class T>
const ArrayFunctions<T>& ArrayFunctions<T>::cuda() {
  static constexpr ArrayFunctions kTable = array_functions<T, Device>();
  return kTable;
}

template const ArrayFunctions<float>& ArrayFunctions<float>::cuda();
template const ArrayFunctions<double>& ArrayFunctions<double>::cuda();

}  // namespace diffmpm
