// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/body.hpp"

#include "core/queue.cuh"
#include "core/sums.cuh"

namespace diffmpm::geometry {
namespace {

using cuda::Queue;

double mean(double sum, std::int64_t count) { return count > 0 ? sum / static_cast<double>(count) : 0.0; }

template <class T>
double mean_distance(const Context& context, std::int64_t count, const T* a, const T* b) {
  Queue queue(context);
  return mean(cuda::sum_terms(queue, count, DistanceTerm<T>{a, b}), count);
}

template <class T>
double mean_square(const Context& context, std::int64_t count, const T* v) {
  Queue queue(context);
  return mean(cuda::sum_terms(queue, count, SquareTerm<T>{v}), count);
}

template <class T>
Range determinant_range(const Context& context, std::int64_t count, const T* F) {
  Queue queue(context);
  return cuda::sum_terms(queue, count, DeterminantTerm<T>{F});
}

template <class T>
void multiply(const Context& context, std::int64_t count, const T* a, const T* b, T* out) {
  Queue(context).for_all(MultiplyItem<T>{count, a, b, out});
}

}  // namespace

template <class T>
const BodyFunctions<T>& BodyFunctions<T>::cuda() {
  static constexpr BodyFunctions kTable{geometry::mean_distance<T>, geometry::mean_square<T>,
                                        geometry::determinant_range<T>, geometry::multiply<T>};
  return kTable;
}

template const BodyFunctions<float>& BodyFunctions<float>::cuda();
template const BodyFunctions<double>& BodyFunctions<double>::cuda();

}  // namespace diffmpm::geometry
