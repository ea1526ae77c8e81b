// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/functions.hpp"

// Logarithm of a convolution with a Gaussian along one axis of a grid, for any dynamic range: no term can overflow, and terms that
// underflow do not matter. Base 2. The Gaussian of the squared distance in three dimensions is a product, so three such passes, one
// per axis, convolve a grid (Feydy et al. 2019, Interpolating between optimal transport and MMD).

DIFFMPM_BEGIN_ISA

// Stands for the logarithm of 0, without infinities, whose differences are not numbers.
inline constexpr float kLogOfZero = -1e30f;
// Terms of this logarithm relative to the largest one do not change a sum; vexp2 is valid above it.
inline constexpr float kLeastExponent = -126.0f;

template <class S>
DIFFMPM_HD S vmax(const S& a, const S& b) {
  return select(a < b, b, a);
}

// log2 of a number from 1 to the largest one.
DIFFMPM_HD float vlog2(float x) { return ::log2f(x); }
DIFFMPM_HD double vlog2(double x) { return ::log2(x); }

#if !defined(__CUDACC__)
// x = 2^n m with m from sqrt(1/2) to sqrt(2), and log2 m = 2 / ln 2 * artanh((m - 1) / (m + 1)) as a series, to one unit in the
// last place of the result for results above 1, and of 1 for others.
template <class T>
DIFFMPM_HD Pack<T> vlog2(Pack<T> x) {
#if defined(__GNUC__)
  using P = Pack<T>;
  using C = Exp2Polynomial<T>;
  typedef typename C::Int Ints __attribute__((vector_size(kPackBytes)));
  using Int = typename C::Int;
  constexpr int kTerms = sizeof(T) == 8 ? 11 : 5;
  constexpr T kTwoOverLn2 = T(2.88539008177792681472);
  constexpr Int kOne = Int{sizeof(T) == 8 ? 1023 : 127} << C::kMantissa, kFraction = (Int{1} << C::kMantissa) - 1;
  const Ints bits = reinterpret_cast<Ints>(x.v);
  const P m = P::raw(reinterpret_cast<typename P::Vec>((bits & kFraction) | kOne));
  const auto upper = P(T(1.41421356237309505)) < m;
  const P exponent = P::raw(__builtin_convertvector((bits - kOne) >> C::kMantissa, typename P::Vec));
  const P reduced = select(upper, m * P(T(0.5)), m), n = select(upper, exponent + P(T(1)), exponent);
  const P z = (reduced - P(T(1))) / (reduced + P(T(1))), z2 = z * z;
  P y(kTwoOverLn2 / T(2 * kTerms + 1));
  DIFFMPM_UNROLL
  for (int k = kTerms - 1; k >= 0; --k) y = vfma(y, z2, P(kTwoOverLn2 / T(2 * k + 1)));
  return vfma(y, z, n);
#else
  return Pack<T>(vlog2(x.v));
#endif
}
#endif

// Largest h[y] - cost[x - y] over the nodes y of a line, for kOut outputs x; cost[-length < d < length].
template <int kOut, class S, class T, class Load>
DIFFMPM_HD void largest_terms(int length, const int (&x)[kOut], const T* cost, const Load& h, S (&top)[kOut]) {
  for (int k = 0; k < kOut; ++k) top[k] = h(0) - S(cost[x[k]]);
  for (int y = 1; y < length; ++y) {
    const S value = h(y);
    DIFFMPM_UNROLL
    for (int k = 0; k < kOut; ++k) top[k] = vmax(top[k], value - S(cost[x[k] - y]));
  }
}

// out[k] = log2 sum_y 2^(h[y] - cost[x[k] - y]).
template <int kOut, class S, class T, class Load>
DIFFMPM_HD void log_sums(int length, const int (&x)[kOut], const T* cost, const Load& h, S (&out)[kOut]) {
  S top[kOut], sum[kOut];
  largest_terms(length, x, cost, h, top);
  for (int k = 0; k < kOut; ++k) sum[k] = S(T(0));
  for (int y = 0; y < length; ++y) {
    const S value = h(y);
    DIFFMPM_UNROLL
    for (int k = 0; k < kOut; ++k)
      sum[k] += vexp2(vmax(value - S(cost[x[k] - y]) - top[k], S(static_cast<T>(kLeastExponent))));
  }
  for (int k = 0; k < kOut; ++k) out[k] = top[k] + vlog2(sum[k]);
}

DIFFMPM_END_ISA
