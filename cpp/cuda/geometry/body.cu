// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/body.hpp"

#include "core/queue.cuh"
#include "core/sums.cuh"

namespace diffmpm::cuda {
namespace {

double mean(double sum, std::int64_t count) { return count > 0 ? sum / static_cast<double>(count) : 0.0; }

}  // namespace

template <class T>
double mean_distance(std::int64_t count, const T* a, const T* b, void* stream) {
  Queue queue(stream);
  return mean(sum_terms(queue, count, geometry::DistanceTerm<T>{a, b}), count);
}
template <class T>
double mean_square(std::int64_t count, const T* v, void* stream) {
  Queue queue(stream);
  return mean(sum_terms(queue, count, geometry::SquareTerm<T>{v}), count);
}
template <class T>
geometry::Range determinant_range(std::int64_t count, const T* F, void* stream) {
  Queue queue(stream);
  return sum_terms(queue, count, geometry::DeterminantTerm<T>{F});
}
template <class T>
void multiply(std::int64_t count, const T* a, const T* b, T* out, void* stream) {
  Queue(stream).for_all(geometry::MultiplyItem<T>{count, a, b, out});
}

#define DIFFMPM_BODY(T)                                                         \
  template double mean_distance<T>(std::int64_t, const T*, const T*, void*);    \
  template double mean_square<T>(std::int64_t, const T*, void*);                \
  template geometry::Range determinant_range<T>(std::int64_t, const T*, void*); \
  template void multiply<T>(std::int64_t, const T*, const T*, T*, void*);
DIFFMPM_BODY(float)
DIFFMPM_BODY(double)
#undef DIFFMPM_BODY

}  // namespace diffmpm::cuda
