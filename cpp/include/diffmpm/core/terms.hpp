// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>

#include "diffmpm/core/macros.hpp"

// Terms of sums over arrays, which the CPU and a device add up alike.

namespace diffmpm {

// The larger of values >= 0, as a sum; NaN stays.
struct Largest {
  double value = 0;
  DIFFMPM_HD Largest& operator+=(const Largest& o) {
    if (value == value && !(o.value <= value)) value = o.value;
    return *this;
  }
};

template <class T>
struct LargestTerm {
  const T* a;
  DIFFMPM_HD Largest operator()(std::int64_t n) const { return {std::abs(static_cast<double>(a[n]))}; }
};

// One for a value that is not finite.
template <class T>
struct NotFiniteTerm {
  const T* a;
  DIFFMPM_HD std::int64_t operator()(std::int64_t n) const { return a[n] - a[n] == T(0) ? 0 : 1; }
};

}  // namespace diffmpm
