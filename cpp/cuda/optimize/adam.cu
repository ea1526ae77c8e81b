// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/optimize/adam.hpp"

#include "core/queue.cuh"
#include "core/sums.cuh"

namespace diffmpm::cuda {

template <class T>
optimize::Scale unit_scale(std::int64_t count, const T* g, void* stream) {
  Queue queue(stream);
  const double largest = sum_terms(queue, count, LargestTerm<T>{g}).value;
  if (largest == 0) return {};
  const double sum = sum_terms(queue, count, optimize::ScaledSquareTerm<T>{g, static_cast<T>(largest)});
  return {largest, std::sqrt(static_cast<double>(count) / sum)};
}
template <class T>
void descend(const optimize::DescendItem<T>& item, void* stream) {
  Queue(stream).for_all(item);
}
template <class T>
void adam(const optimize::AdamItem<T>& item, void* stream) {
  Queue(stream).for_all(item);
}

#define DIFFMPM_OPTIMIZE(T)                                              \
  template optimize::Scale unit_scale<T>(std::int64_t, const T*, void*); \
  template void descend<T>(const optimize::DescendItem<T>&, void*);      \
  template void adam<T>(const optimize::AdamItem<T>&, void*);
DIFFMPM_OPTIMIZE(float)
DIFFMPM_OPTIMIZE(double)
#undef DIFFMPM_OPTIMIZE

}  // namespace diffmpm::cuda
