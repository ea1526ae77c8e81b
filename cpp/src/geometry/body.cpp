// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/body.hpp"

#include "diffmpm/core/sums.hpp"

namespace diffmpm::geometry {
namespace {

double mean(double sum, std::int64_t count) { return count > 0 ? sum / static_cast<double>(count) : 0.0; }

template <class T>
double mean_distance(const Context&, std::int64_t count, const T* a, const T* b) {
  return mean(sum_terms(count, DistanceTerm<T>{a, b}), count);
}

template <class T>
double mean_square(const Context&, std::int64_t count, const T* v) {
  return mean(sum_terms(count, SquareTerm<T>{v}), count);
}

template <class T>
Range determinant_range(const Context&, std::int64_t count, const T* F) {
  return sum_terms(count, DeterminantTerm<T>{F});
}

template <class T>
void multiply(const Context&, std::int64_t count, const T* a, const T* b, T* out) {
  const MultiplyItem<T> item{count, a, b, out};
  parallel_for(count, 4096, [&](std::int64_t p) { item(p); });
}

}  // namespace

template <class T>
const BodyFunctions<T>& BodyFunctions<T>::host() {
  static constexpr BodyFunctions kTable{geometry::mean_distance<T>, geometry::mean_square<T>,
                                        geometry::determinant_range<T>, geometry::multiply<T>};
  return kTable;
}

template <class T>
void place(std::int64_t count, const T* x, double scale, const double* center, float* out) {
  parallel_for(count, 4096, [&](std::int64_t p) {
    for (int a = 0; a < 3; ++a)
      out[3 * p + a] = static_cast<float>(static_cast<double>(x[3 * p + a]) / scale + center[a]);
  });
}

template const BodyFunctions<float>& BodyFunctions<float>::host();
template const BodyFunctions<double>& BodyFunctions<double>::host();
template void place<float>(std::int64_t, const float*, double, const double*, float*);
template void place<double>(std::int64_t, const double*, double, const double*, float*);

}  // namespace diffmpm::geometry
