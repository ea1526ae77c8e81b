// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/body.hpp"

#include "diffmpm/core/sums.hpp"

namespace diffmpm::geometry {
namespace {

double mean(double sum, std::int64_t count) { return count > 0 ? sum / static_cast<double>(count) : 0.0; }

}  // namespace

template <class T>
double mean_distance(std::int64_t count, const T* a, const T* b) {
  return mean(sum_terms(count, DistanceTerm<T>{a, b}), count);
}
template <class T>
double mean_square(std::int64_t count, const T* v) {
  return mean(sum_terms(count, SquareTerm<T>{v}), count);
}
template <class T>
Range determinant_range(std::int64_t count, const T* F) {
  return sum_terms(count, DeterminantTerm<T>{F});
}
template <class T>
void multiply(std::int64_t count, const T* a, const T* b, T* out) {
  const MultiplyItem<T> item{count, a, b, out};
  parallel_for(count, 4096, [&](std::int64_t p) { item(p); });
}
template <class T>
void place(std::int64_t count, const T* x, double scale, const double* center, float* out) {
  parallel_for(count, 4096, [&](std::int64_t p) {
    for (int a = 0; a < 3; ++a)
      out[3 * p + a] = static_cast<float>(static_cast<double>(x[3 * p + a]) / scale + center[a]);
  });
}

#define DIFFMPM_BODY(T)                                               \
  template double mean_distance<T>(std::int64_t, const T*, const T*); \
  template double mean_square<T>(std::int64_t, const T*);             \
  template Range determinant_range<T>(std::int64_t, const T*);        \
  template void multiply<T>(std::int64_t, const T*, const T*, T*);    \
  template void place<T>(std::int64_t, const T*, double, const double*, float*);
DIFFMPM_BODY(float)
DIFFMPM_BODY(double)
#undef DIFFMPM_BODY

}  // namespace diffmpm::geometry
