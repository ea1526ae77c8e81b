// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "core/sums.cuh"
#include "diffmpm/core/device_arrays.hpp"
#include "diffmpm/core/terms.hpp"
#include "diffmpm/math/mat3.hpp"

// Arithmetic on arrays of a device, one item a value.

namespace diffmpm::cuda {

template <class T>
struct Combine {
  std::int64_t count;
  Combination op;
  Operand<T> a, b;
  T* out;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    const T x = a.values ? a.values[n] : a.number, y = b.values ? b.values[n] : b.number;
    switch (op) {
      case Combination::add: out[n] = x + y; break;
      case Combination::subtract: out[n] = x - y; break;
      case Combination::multiply: out[n] = x * y; break;
      case Combination::divide: out[n] = x / y; break;
    }
  }
};

template <class T>
struct SquareRoot {
  std::int64_t count;
  const T* a;
  T* out;

  DIFFMPM_HD void operator()(std::int64_t n) const { out[n] = std::sqrt(a[n]); }
};

template <class T>
struct TakeRows {
  std::int64_t count, width;  // values, and those of a row
  const std::int32_t* rows;
  const T* a;
  T* out;

  DIFFMPM_HD void operator()(std::int64_t n) const { out[n] = a[rows[n / width] * width + n % width]; }
};

template <class T>
struct AddRows {
  std::int64_t count, width;
  const std::int32_t* rows;
  const T* values;
  T* a;

  DIFFMPM_HD void operator()(std::int64_t n) const { a[rows[n / width] * width + n % width] += values[n]; }
};

template <class T>
struct DotTerm {
  const T *a, *b;
  DIFFMPM_HD double operator()(std::int64_t n) const { return static_cast<double>(a[n] * b[n]); }
};

template <class T>
struct NotAboveTerm {
  const T* a;
  T bound;
  DIFFMPM_HD std::int64_t operator()(std::int64_t n) const { return a[n] > bound ? 0 : 1; }
};

// How many of the constants of a body are not finite or have the wrong sign.
struct BadConstants {
  std::int64_t mass, volume, lam, mu;
  DIFFMPM_HD BadConstants& operator+=(const BadConstants& o) {
    mass += o.mass, volume += o.volume, lam += o.lam, mu += o.mu;
    return *this;
  }
};

template <class T>
struct ConstantsTerm {
  const T *mass, *volume, *lam, *mu;
  DIFFMPM_HD BadConstants operator()(std::int64_t n) const {
    return {bad(mass[n], false), bad(volume[n], false), bad(lam[n], true), bad(mu[n], true)};
  }
  DIFFMPM_HD static std::int64_t bad(T value, bool zero) {
    return value - value == T(0) && (value > T(0) || (zero && value == T(0))) ? 0 : 1;
  }
};

template <class T>
struct InvertedTerm {
  const T* F;
  DIFFMPM_HD std::int64_t operator()(std::int64_t n) const {
    Mat3<double> f;
    for (int k = 0; k < 9; ++k) f.m[k] = static_cast<double>(F[9 * n + k]);
    return determinant(f) > 0 ? 0 : 1;
  }
};

}  // namespace diffmpm::cuda
