// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <limits>

#include "diffmpm/core/macros.hpp"

// What a scalar and a pack have in common, and the element type of either.

#if defined(__CUDACC__)
#include <cmath>
#include <cstdint>
DIFFMPM_BEGIN_ISA
DIFFMPM_HD float vsqrt(float a) { return ::sqrtf(a); }
DIFFMPM_HD double vsqrt(double a) { return ::sqrt(a); }
DIFFMPM_HD float floor_positive(float a) { return static_cast<float>(static_cast<std::int32_t>(a)); }
DIFFMPM_HD double floor_positive(double a) { return static_cast<double>(static_cast<std::int32_t>(a)); }
DIFFMPM_HD bool any(bool mask) { return mask; }
template <class S>
DIFFMPM_HD S select(bool mask, S a, S b) {
  return mask ? a : b;
}
DIFFMPM_END_ISA
#else
#include "diffmpm/math/pack.hpp"
#endif

DIFFMPM_BEGIN_ISA

template <class S>
struct ScalarOfImpl {
  using type = S;
};
#if !defined(__CUDACC__)
template <class T>
struct ScalarOfImpl<Pack<T>> {
  using type = T;
};
#endif
template <class S>
using ScalarOf = typename ScalarOfImpl<S>::type;

// Cube root of a > 0 by Newton's iteration, which converges from 1 for every such a and quadratically near the root; it
// stops when the change is below sqrt(eps) / 2, so the error is below eps.
template <class S>
DIFFMPM_HD S cube_root(const S& a) {
  using T = ScalarOf<S>;
  constexpr int kIterations = 200;  // only ends the loop for input that is not finite
  const S tolerance(T(0.25) * std::numeric_limits<T>::epsilon());
  S y(1);
  for (int n = 0; n < kIterations; ++n) {
    const S next = (S(2) * y + a / (y * y)) * S(T(1) / T(3));
    const S d = next - y;
    y = next;
    if (!any(d * d > tolerance * y * y)) break;
  }
  return y;
}

DIFFMPM_END_ISA
