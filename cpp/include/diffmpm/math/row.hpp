// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

// Row<T>: four neighbouring grid nodes of four channels each (mass and momentum, or their adjoints), 16 values in node
// order. Transfers between particles and grid work on rows, so their inner loop is a handful of vector instructions.

#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/pack.hpp"

DIFFMPM_BEGIN_ISA

inline constexpr int kRowNodes = 4;
inline constexpr int kChannels = 4;
inline constexpr int kRowSize = kRowNodes * kChannels;

template <class T>
struct Row {
  using P = Pack<T>;
  static constexpr int kPacks = kRowSize / P::kWidth;
  P p[kPacks];

  static DIFFMPM_HD Row zero() {
    Row r;
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) r.p[n] = P(T(0));
    return r;
  }
  static DIFFMPM_HD Row load(const T* in) {
    Row r;
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) r.p[n] = P::load(in + n * P::kWidth);
    return r;
  }
  DIFFMPM_HD void store(T* out) const {
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) p[n].store(out + n * P::kWidth);
  }
  // The same four channels at every node.
  static DIFFMPM_HD Row channels(const T* in) { return pattern<false>(in, std::make_integer_sequence<int, kRowSize>{}); }
  // One value per node, equal in its channels.
  static DIFFMPM_HD Row nodes(const T* in) { return pattern<true>(in, std::make_integer_sequence<int, kRowSize>{}); }

  friend DIFFMPM_HD Row operator+(const Row& a, const Row& b) {
    Row r;
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) r.p[n] = a.p[n] + b.p[n];
    return r;
  }
  friend DIFFMPM_HD Row operator-(const Row& a, const Row& b) {
    Row r;
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) r.p[n] = a.p[n] - b.p[n];
    return r;
  }
  friend DIFFMPM_HD Row operator*(const Row& a, const Row& b) {
    Row r;
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) r.p[n] = a.p[n] * b.p[n];
    return r;
  }
  friend DIFFMPM_HD Row operator*(T s, const Row& b) {
    const P scale(s);
    Row r;
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) r.p[n] = scale * b.p[n];
    return r;
  }
  // this += s * b
  DIFFMPM_HD void add_scaled(T s, const Row& b) {
    const P scale(s);
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) p[n] += scale * b.p[n];
  }
  // Sum over the nodes: four channels to out.
  DIFFMPM_HD void store_node_sum(T* out) const {
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
  template <class V>
  static DIFFMPM_HD void fold(V v, T* out) {
    constexpr int w = static_cast<int>(sizeof(V) / sizeof(T));
    if constexpr (w == kChannels) {
      std::memcpy(out, &v, sizeof(v));
    } else {
      typedef T Half __attribute__((vector_size(sizeof(V) / 2)));
      Half low, high;
      std::memcpy(&low, &v, sizeof(low));
      std::memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof(low), sizeof(high));
      fold<Half>(low + high, out);
    }
  }
  template <bool PerNode, int... E>
  static DIFFMPM_HD Row pattern(const T* in, std::integer_sequence<int, E...>) {
    typedef T Quad __attribute__((vector_size(4 * sizeof(T))));
    Quad q;
    std::memcpy(&q, in, sizeof(q));
    Row r;
    DIFFMPM_UNROLL
    for (int n = 0; n < kPacks; ++n) r.p[n] = spread<PerNode>(q, n, std::make_integer_sequence<int, P::kWidth>{});
    return r;
  }
  template <bool PerNode, class Q, int... L>
  static DIFFMPM_HD P spread(Q q, int n, std::integer_sequence<int, L...>) {
    constexpr int w = P::kWidth;
    if constexpr (w >= kChannels && !PerNode) {
      return P::raw(__builtin_shufflevector(q, q, (L % 4)...));
    } else if constexpr (w == 16) {
      return P::raw(__builtin_shufflevector(q, q, (L / 4)...));
    } else if constexpr (w == 8) {
      return n == 0 ? P::raw(__builtin_shufflevector(q, q, (L / 4)...))
                    : P::raw(__builtin_shufflevector(q, q, (2 + L / 4)...));
    } else {
      return P::raw(typename P::Vec{q[PerNode ? (n * w + L) / 4 : (n * w + L) % 4]...});
    }
  }
#else
  template <bool PerNode, int... E>
  static DIFFMPM_HD Row pattern(const T* in, std::integer_sequence<int, E...>) {
    Row r;
    ((r.p[E] = P(in[PerNode ? E / 4 : E % 4])), ...);
    return r;
  }
#endif
};

DIFFMPM_END_ISA
