// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/optimize/adam.hpp"

#include "diffmpm/core/sums.hpp"

namespace diffmpm::optimize {
namespace {

template <class Item>
void for_all(const Item& item) {
  parallel_for(item.count, 4096, [&](std::int64_t n) { item(n); });
}

}  // namespace

template <class T>
Scale unit_scale(std::int64_t count, const T* g) {
  const double largest = sum_terms(count, LargestTerm<T>{g}).value;
  if (largest == 0) return {};
  const double sum = sum_terms(count, ScaledSquareTerm<T>{g, static_cast<T>(largest)});
  return {largest, std::sqrt(static_cast<double>(count) / sum)};
}
template <class T>
std::int64_t count_not_finite(std::int64_t count, const T* a) {
  return sum_terms(count, NotFiniteTerm<T>{a});
}
template <class T>
void descend(const DescendItem<T>& item) {
  for_all(item);
}
template <class T>
void adam(const AdamItem<T>& item) {
  for_all(item);
}

#define DIFFMPM_OPTIMIZE(T)                                          \
  template Scale unit_scale<T>(std::int64_t, const T*);              \
  template std::int64_t count_not_finite<T>(std::int64_t, const T*); \
  template void descend<T>(const DescendItem<T>&);                   \
  template void adam<T>(const AdamItem<T>&);
DIFFMPM_OPTIMIZE(float)
DIFFMPM_OPTIMIZE(double)
#undef DIFFMPM_OPTIMIZE

}  // namespace diffmpm::optimize
