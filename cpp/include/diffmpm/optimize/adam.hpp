// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>

#include "diffmpm/core/macros.hpp"
#include "diffmpm/core/terms.hpp"

// Arithmetic of optimisers on arrays of any shape, one pass each.

namespace diffmpm::optimize {

// Squares of g over its largest value: those of tiny numbers in single precision would underflow.
template <class T>
struct ScaledSquareTerm {
  const T* g;
  T largest;
  DIFFMPM_HD double operator()(std::int64_t n) const {
    const T s = g[n] / largest;
    return static_cast<double>(s * s);
  }
};

// out[n] = a[n] - step d[n].
template <class T>
struct DescendItem {
  std::int64_t count;
  T step;
  const T *a, *d;
  T* out;
  DIFFMPM_HD void operator()(std::int64_t n) const { out[n] = a[n] - step * d[n]; }
};

// One step of Adam (Kingma and Ba 2015) on g = unit (gradient / largest):
//   mean = beta1 mean + (1 - beta1) g,   square = beta2 square + (1 - beta2) g^2,
//   direction = mean_factor mean / (square_factor sqrt(square) + eps).
template <class T>
struct AdamItem {
  std::int64_t count;
  const T* gradient;
  const T *old_mean, *old_square;  // null: zero
  T *mean, *square, *direction;
  T largest, unit, reference;
  T beta1, beta2, rest1, rest2;  // rest = 1 - beta
  T mean_factor, square_factor, eps;
  bool normalize;  // else g = gradient

  DIFFMPM_HD void operator()(std::int64_t n) const {
    T g = gradient[n];
    if (normalize) g = g / largest * unit * reference;
    T m = g * rest1, s = g * g * rest2;
    if (old_mean) m += beta1 * old_mean[n], s += beta2 * old_square[n];
    mean[n] = m, square[n] = s;
    direction[n] = m / (std::sqrt(s) * square_factor + eps) * mean_factor;
  }
};

// Largest absolute value of an array, and the factor that brings the root mean square of g / largest to 1; 0 and 0 where
// all are zero.
struct Scale {
  double largest = 0, factor = 0;
};
template <class T>
Scale unit_scale(std::int64_t count, const T* g);
template <class T>
std::int64_t count_not_finite(std::int64_t count, const T* a);
template <class T>
void descend(const DescendItem<T>& item);
template <class T>
void adam(const AdamItem<T>& item);

}  // namespace diffmpm::optimize

// The same for arrays of a CUDA device; work is put on `stream`, and what returns a number waits.
namespace diffmpm::cuda {

template <class T>
optimize::Scale unit_scale(std::int64_t count, const T* g, void* stream);
template <class T>
void descend(const optimize::DescendItem<T>& item, void* stream);
template <class T>
void adam(const optimize::AdamItem<T>& item, void* stream);

}  // namespace diffmpm::cuda
