// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/scalar.hpp"

#if defined(__AVX2__) && !defined(__CUDACC__)
#include <immintrin.h>
#endif

// Further functions of a scalar or a pack: fused multiply-add, reciprocal, minimum, cube root, power of two.

DIFFMPM_BEGIN_ISA

// a b + c with one rounding where the instruction set has it. Called explicitly where two functions must agree bit by bit,
// because a comparison in both decides which terms enter a sum.
DIFFMPM_HD float vfma(float a, float b, float c) { return ::fmaf(a, b, c); }
DIFFMPM_HD double vfma(double a, double b, double c) { return ::fma(a, b, c); }

// The float versions are single instructions on a CUDA device: 2^x within 2 ulp, 0 below 2^-126; 1 / x within 1 ulp.
DIFFMPM_HD float vexp2(float x) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return ::exp2f(x);
#endif
}
DIFFMPM_HD double vexp2(double x) { return ::exp2(x); }

template <class S>
DIFFMPM_HD S vinv(const S& x) {
  return S(1) / x;
}
DIFFMPM_HD float vinv(float x) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return 1.0f / x;
#endif
}

template <class S>
DIFFMPM_HD S vmin(const S& a, const S& b) {
  return select(a < b, a, b);
}

// Cube root of a > 0 by Newton's iteration, which converges from 1 for every such a, quadratically near the root. It stops
// when the change is below sqrt(eps) / 2, so the error is below eps.
template <class S>
DIFFMPM_HD S cube_root(const S& a) {
  using T = ScalarOf<S>;
  constexpr int kIterations = 200;  // reached only for input that is not finite
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

#if !defined(__CUDACC__)
DIFFMPM_HD Pack<float> vfma(Pack<float> a, Pack<float> b, Pack<float> c) {
#if defined(__AVX512F__)
  return Pack<float>::raw(reinterpret_cast<Pack<float>::Vec>(
      _mm512_fmadd_ps(reinterpret_cast<__m512>(a.v), reinterpret_cast<__m512>(b.v), reinterpret_cast<__m512>(c.v))));
#elif defined(__FMA__)
  return Pack<float>::raw(reinterpret_cast<Pack<float>::Vec>(
      _mm256_fmadd_ps(reinterpret_cast<__m256>(a.v), reinterpret_cast<__m256>(b.v), reinterpret_cast<__m256>(c.v))));
#else
  return a * b + c;
#endif
}
DIFFMPM_HD Pack<double> vfma(Pack<double> a, Pack<double> b, Pack<double> c) {
#if defined(__AVX512F__)
  return Pack<double>::raw(reinterpret_cast<Pack<double>::Vec>(
      _mm512_fmadd_pd(reinterpret_cast<__m512d>(a.v), reinterpret_cast<__m512d>(b.v), reinterpret_cast<__m512d>(c.v))));
#elif defined(__FMA__)
  return Pack<double>::raw(reinterpret_cast<Pack<double>::Vec>(
      _mm256_fmadd_pd(reinterpret_cast<__m256d>(a.v), reinterpret_cast<__m256d>(b.v), reinterpret_cast<__m256d>(c.v))));
#else
  return a * b + c;
#endif
}

// Polynomials for 2^f, |f| <= 1/2, through the Chebyshev nodes: relative error 2.6e-9 and 4.3e-18.
template <class T>
struct Exp2Polynomial;
template <>
struct Exp2Polynomial<float> {
  static constexpr int kDegree = 6;
  static constexpr float kCoefficients[] = {1.0f,
                                            0.69314720670283259577f,
                                            0.24022650922288758071f,
                                            0.055503272266703020589f,
                                            0.0096180566785246380754f,
                                            0.001340042817761583794f,
                                            0.00015461444698569129083f};
  static constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, in the low bits
  static constexpr int kMantissa = 23;
  using Int = std::int32_t;
};
template <>
struct Exp2Polynomial<double> {
  static constexpr int kDegree = 11;
  static constexpr double kCoefficients[] = {1.0,
                                             0.69314718055994530925,
                                             0.24022650695910159567,
                                             0.055504108664821627039,
                                             0.0096181291075872566681,
                                             0.0013333558146406470697,
                                             0.00015403530463724354209,
                                             0.000015252733841556772589,
                                             1.3215432535912376166e-6,
                                             1.0178057087733941105e-7,
                                             7.0741942972885210056e-9,
                                             4.455817908336064493e-10};
  static constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr int kMantissa = 52;
  using Int = std::int64_t;
};

// 2^x for |x| <= 126 within 2 eps; any value elsewhere. x = n + f with n the nearest integer.
template <class T>
DIFFMPM_HD Pack<T> vexp2(Pack<T> x) {
#if defined(__GNUC__)
  using P = Pack<T>;
  using C = Exp2Polynomial<T>;
  const P shifted = x + P(C::kRound);
  const P f = x - (shifted - P(C::kRound));
  P y(C::kCoefficients[C::kDegree]);
  DIFFMPM_UNROLL
  for (int k = C::kDegree - 1; k >= 0; --k) y = vfma(y, f, P(C::kCoefficients[k]));
  typedef typename C::Int Ints __attribute__((vector_size(kPackBytes)));
  // The exponent field grows by n: the bits of kRound itself leave the word in the shift.
  const Ints bits = reinterpret_cast<Ints>(y.v) + (reinterpret_cast<Ints>(shifted.v) << C::kMantissa);
  return P::raw(reinterpret_cast<typename P::Vec>(bits));
#else
  return Pack<T>(vexp2(x.v));
#endif
}
#endif

DIFFMPM_END_ISA
