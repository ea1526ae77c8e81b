// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/core/arrays.hpp"
#include "diffmpm/core/context.hpp"
#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/mat3.hpp"

// Statistics of a body of particles. Sums are taken in double over fixed chunks, independent of the number of threads.

namespace diffmpm::geometry {

// |v[p]|^2. Array [count][3].
template <class T>
struct SquareTerm {
  const T* v;
  DIFFMPM_HD double operator()(std::int64_t p) const {
    const double x = static_cast<double>(v[3 * p]), y = static_cast<double>(v[3 * p + 1]);
    const double z = static_cast<double>(v[3 * p + 2]);
    return x * x + y * y + z * z;
  }
};

// det F[p]. Array [count][3][3].
template <class T>
struct DeterminantTerm {
  const T* F;
  DIFFMPM_HD Range operator()(std::int64_t p) const {
    Mat3<double> f;
    for (int k = 0; k < 9; ++k) f.m[k] = static_cast<double>(F[9 * p + k]);
    const double det = determinant(f);
    return {det, det};
  }
};

// out[p] = a[p] b[p]; out may alias a or b. Arrays [count][3][3].
template <class T>
struct MultiplyItem {
  std::int64_t count;
  const T *a, *b;
  T* out;
  DIFFMPM_HD void operator()(std::int64_t p) const {
    Mat3<T> left, right;
    for (int k = 0; k < 9; ++k) left.m[k] = a[9 * p + k], right.m[k] = b[9 * p + k];
    const Mat3<T> product = mul(left, right);
    for (int k = 0; k < 9; ++k) out[9 * p + k] = product.m[k];
  }
};

template <class T>
struct BodyFunctions {
  // Mean over the particles of |v[p]|^2, 0 without any.
  double (*mean_square)(const Context&, std::int64_t count, const T* v);
  // Smallest and largest determinant.
  Range (*determinant_range)(const Context&, std::int64_t count, const T* F);
  void (*multiply)(const Context&, const MultiplyItem<T>&);
};

template <class T, class Queue>
constexpr BodyFunctions<T> body_functions() {
  using Count = std::int64_t;
  return {[](const Context& c, Count n, const T* v) {
            return n > 0 ? run_sum<Queue>(c, n, SquareTerm<T>{v}) / static_cast<double>(n) : 0.0;
          },
          [](const Context& c, Count n, const T* F) { return run_sum<Queue>(c, n, DeterminantTerm<T>{F}); },
          run_item<Queue, MultiplyItem<T>>};
}

// Component n of x / scale + center, computed in double precision. Arrays [count / 3][3].
template <class T>
struct ScaleAndShiftItem {
  std::int64_t count;
  const T* x;
  double scale;
  const double* center;
  float* out;
  void operator()(std::int64_t n) const {
    out[n] = static_cast<float>(static_cast<double>(x[n]) / scale + center[n % 3]);
  }
};

}  // namespace diffmpm::geometry
