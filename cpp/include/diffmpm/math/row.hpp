// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

// Row<T>: four neighbouring grid nodes with four channels each (mass and momentum, or their adjoints), 16 values in node
// order. Transfers between particles and grid work on rows, so that the inner loop is a few vector instructions.

#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/pack.hpp"

#if defined(__AVX__)
#include <immintrin.h>
#endif

DIFFMPM_BEGIN_ISA

// Loads four values into wider vectors: repeated as a whole (repeat), or each one four times (spread). Intrinsics, because
// compilers spill the generic form to the stack, at several times the cost of the row.
#if defined(__AVX512F__)
template <class P>
DIFFMPM_INLINE P repeat_quad(const float* in) {
  return P::raw(reinterpret_cast<typename P::Vec>(_mm512_broadcast_f32x4(_mm_loadu_ps(in))));
}
template <class P>
DIFFMPM_INLINE P repeat_quad(const double* in) {
  return P::raw(reinterpret_cast<typename P::Vec>(_mm512_broadcast_f64x4(_mm256_loadu_pd(in))));
}
DIFFMPM_INLINE void spread_quad(const float* in, Pack<float>* out) {
  const __m512i lanes = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  out[0].v = reinterpret_cast<Pack<float>::Vec>(_mm512_permutexvar_ps(lanes, _mm512_castps128_ps512(_mm_loadu_ps(in))));
}
DIFFMPM_INLINE void spread_quad(const double* in, Pack<double>* out) {
  const __m512d quad = _mm512_castpd256_pd512(_mm256_loadu_pd(in));
  const __m512i low = _mm512_setr_epi64(0, 0, 0, 0, 1, 1, 1, 1), high = _mm512_setr_epi64(2, 2, 2, 2, 3, 3, 3, 3);
  out[0].v = reinterpret_cast<Pack<double>::Vec>(_mm512_permutexvar_pd(low, quad));
  out[1].v = reinterpret_cast<Pack<double>::Vec>(_mm512_permutexvar_pd(high, quad));
}
#elif defined(__AVX__)
template <class P>
DIFFMPM_INLINE P repeat_quad(const float* in) {
  return P::raw(reinterpret_cast<typename P::Vec>(_mm256_broadcast_ps(reinterpret_cast<const __m128*>(in))));
}
DIFFMPM_INLINE void spread_quad(const float* in, Pack<float>* out) {
  for (int n = 0; n < 2; ++n) {
    const __m128 low = _mm_broadcast_ss(in + 2 * n), high = _mm_broadcast_ss(in + 2 * n + 1);
    out[n].v = reinterpret_cast<Pack<float>::Vec>(_mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1));
  }
}
#endif

inline constexpr int kRowNodes = 4;
inline constexpr int kChannels = 4;
inline constexpr int kRowSize = kRowNodes * kChannels;

template <class T>
struct Row {
  using P = Pack<T>;
  static constexpr int kPacks = kRowSize / P::kWidth;
  P p[kPacks];

  static DIFFMPM_INLINE Row zero() {
    Row r;
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) r.p[n] = P(T(0));
    return r;
  }
  static DIFFMPM_INLINE Row load(const T* in) {
    Row r;
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) r.p[n] = P::load(in + n * P::kWidth);
    return r;
  }
  DIFFMPM_INLINE void store(T* out) const {
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) p[n].store(out + n * P::kWidth);
  }
  // The same four channels at every node.
  static DIFFMPM_INLINE Row channels(const T* in) {
    Row r;
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) {
      if constexpr (P::kWidth > kChannels) {
        r.p[n] = repeat_quad<P>(in);
      } else {
        r.p[n] = P::load(in + n * P::kWidth % kChannels);
      }
    }
    return r;
  }
  // One value per node, the same in all channels.
  static DIFFMPM_INLINE Row nodes(const T* in) {
    Row r;
    if constexpr (P::kWidth > kChannels) {
      spread_quad(in, r.p);
    } else {
      DIFFMPM_UNROLL
      for (int n = 0; n < kPacks; ++n) r.p[n] = P(in[n * P::kWidth / kChannels]);
    }
    return r;
  }

  friend DIFFMPM_INLINE Row operator+(const Row& a, const Row& b) {
    Row r;
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) r.p[n] = a.p[n] + b.p[n];
    return r;
  }
  friend DIFFMPM_INLINE Row operator-(const Row& a, const Row& b) {
    Row r;
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) r.p[n] = a.p[n] - b.p[n];
    return r;
  }
  friend DIFFMPM_INLINE Row operator*(const Row& a, const Row& b) {
    Row r;
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) r.p[n] = a.p[n] * b.p[n];
    return r;
  }
  friend DIFFMPM_INLINE Row operator*(T s, const Row& b) {
    const P scale(s);
    Row r;
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) r.p[n] = scale * b.p[n];
    return r;
  }
  // this += s * b
  DIFFMPM_INLINE void add_scaled(T s, const Row& b) {
    const P scale(s);
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) p[n] += scale * b.p[n];
  }
  // Sums over the nodes: out[c] for the four channels.
  DIFFMPM_INLINE void store_node_sum(T* out) const {
#if defined(__GNUC__)
    if constexpr (P::kWidth >= kChannels) {
      P sum = p[0];
      DIFFMPM_UNROLL
      for (int n = 1; n < kPacks; ++n) sum += p[n];
      fold(sum.v, out);
      return;
    }
#endif
    alignas(64) T all[kRowSize];
    store(all);
    for (int c = 0; c < kChannels; ++c) out[c] = (all[c] + all[4 + c]) + (all[8 + c] + all[12 + c]);
  }

 private:
#if defined(__GNUC__)
  // Adds the lower and upper half of a vector until four lanes are left.
  template <class V>
  static DIFFMPM_INLINE void fold(V v, T* out) {
    constexpr int w = static_cast<int>(sizeof(V) / sizeof(T));
    if constexpr (w == kChannels) {
      std::memcpy(out, &v, sizeof(v));
    } else {
      fold(halves(v, std::make_integer_sequence<int, w / 2>{}), out);
    }
  }
  template <class V, int... L>
  static DIFFMPM_INLINE auto halves(V v, std::integer_sequence<int, L...>) {
    constexpr int half = static_cast<int>(sizeof...(L));
    return __builtin_shufflevector(v, v, L...) + __builtin_shufflevector(v, v, (half + L)...);
  }
#endif
};

DIFFMPM_END_ISA
