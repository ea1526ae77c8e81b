// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/scalar.hpp"

// Pack<T>: as many T as one vector register holds. Kernels are templates over a scalar type, and a pack is such a type: lane l
// of every operation belongs to particle l of the pack. Compilers without vector extensions get one lane.

DIFFMPM_BEGIN_ISA

#if defined(__AVX512F__)
inline constexpr int kPackBytes = 64;
#elif defined(__AVX__)
inline constexpr int kPackBytes = 32;
#else
inline constexpr int kPackBytes = 16;
#endif

template <class T>
struct Pack {
#if defined(__GNUC__)
  static constexpr int kWidth = kPackBytes / static_cast<int>(sizeof(T));
  typedef T Vec __attribute__((vector_size(kPackBytes)));
#else
  static constexpr int kWidth = 1;
  using Vec = T;
#endif
  Vec v;

  Pack() = default;
  DIFFMPM_INLINE Pack(T s) { fill(s, std::make_integer_sequence<int, kWidth>{}); }

  static DIFFMPM_INLINE Pack raw(Vec value) {
    Pack r;
    r.v = value;
    return r;
  }
  static DIFFMPM_INLINE Pack load(const T* p) {
    Pack r;
    std::memcpy(&r.v, p, sizeof(Vec));
    return r;
  }
  DIFFMPM_INLINE void store(T* p) const { std::memcpy(p, &v, sizeof(Vec)); }

  DIFFMPM_INLINE Pack& operator+=(Pack o) {
    v += o.v;
    return *this;
  }
  DIFFMPM_INLINE Pack& operator-=(Pack o) {
    v -= o.v;
    return *this;
  }
  DIFFMPM_INLINE Pack& operator*=(Pack o) {
    v *= o.v;
    return *this;
  }
  friend DIFFMPM_INLINE Pack operator+(Pack a, Pack b) { return raw(a.v + b.v); }
  friend DIFFMPM_INLINE Pack operator-(Pack a, Pack b) { return raw(a.v - b.v); }
  friend DIFFMPM_INLINE Pack operator*(Pack a, Pack b) { return raw(a.v * b.v); }
  friend DIFFMPM_INLINE Pack operator/(Pack a, Pack b) { return raw(a.v / b.v); }
  friend DIFFMPM_INLINE Pack operator-(Pack a) { return raw(-a.v); }
  friend DIFFMPM_INLINE auto operator<(Pack a, Pack b) { return a.v < b.v; }
  friend DIFFMPM_INLINE auto operator>(Pack a, Pack b) { return a.v > b.v; }
  friend DIFFMPM_INLINE auto operator<=(Pack a, Pack b) { return a.v <= b.v; }
  friend DIFFMPM_INLINE auto operator>=(Pack a, Pack b) { return a.v >= b.v; }
  friend DIFFMPM_INLINE auto operator==(Pack a, Pack b) { return a.v == b.v; }

 private:
  template <int... L>
  DIFFMPM_INLINE void fill(T s, std::integer_sequence<int, L...>) {
#if defined(__GNUC__)
    v = Vec{(static_cast<void>(L), s)...};
#else
    v = s;
#endif
  }
};

template <class T>
struct ScalarOfImpl<Pack<T>> {
  using type = T;
};

template <class T>
DIFFMPM_INLINE Pack<T> vsqrt(Pack<T> a) {
  alignas(kPackBytes) T lanes[Pack<T>::kWidth];
  a.store(lanes);
  DIFFMPM_UNROLL
  for (int l = 0; l < Pack<T>::kWidth; ++l) lanes[l] = std::sqrt(lanes[l]);
  return Pack<T>::load(lanes);
}

#if defined(__GNUC__)
template <class M>
  requires(sizeof(M) == kPackBytes && !std::is_scalar_v<M>)
DIFFMPM_INLINE bool any(M mask) {
  std::uint64_t words[kPackBytes / 8], sum = 0;
  std::memcpy(words, &mask, sizeof(mask));
  for (std::uint64_t word : words) sum |= word;
  return sum != 0;
}
template <class T, class M>
  requires(sizeof(M) == kPackBytes && !std::is_scalar_v<M>)
DIFFMPM_INLINE Pack<T> select(M mask, Pack<T> a, Pack<T> b) {
  return Pack<T>::raw(mask ? a.v : b.v);
}
#endif

template <class T>
DIFFMPM_INLINE Pack<T> floor_positive(Pack<T> a) {
#if defined(__GNUC__)
  typedef std::int32_t Ints __attribute__((vector_size(4 * Pack<T>::kWidth)));
  return Pack<T>::raw(__builtin_convertvector(__builtin_convertvector(a.v, Ints), typename Pack<T>::Vec));
#else
  return Pack<T>(floor_positive(a.v));
#endif
}
template <class T>
DIFFMPM_INLINE void store_as_int(std::int32_t* p, Pack<T> a) {
#if defined(__GNUC__)
  typedef std::int32_t Ints __attribute__((vector_size(4 * Pack<T>::kWidth)));
  const Ints ints = __builtin_convertvector(a.v, Ints);
  std::memcpy(p, &ints, sizeof(ints));
#else
  *p = static_cast<std::int32_t>(a.v);
#endif
}

// Lane-wise interleave: zip_low gives a0 b0 a1 b1 ..., zip_high does so with the upper halves; even and odd are the inverses.
#if defined(__GNUC__)
template <class T, int... L>
DIFFMPM_INLINE Pack<T> zip_low(Pack<T> a, Pack<T> b, std::integer_sequence<int, L...>) {
  return Pack<T>::raw(__builtin_shufflevector(a.v, b.v, (L / 2 + (L % 2) * Pack<T>::kWidth)...));
}
template <class T, int... L>
DIFFMPM_INLINE Pack<T> zip_high(Pack<T> a, Pack<T> b, std::integer_sequence<int, L...>) {
  constexpr int w = Pack<T>::kWidth;
  return Pack<T>::raw(__builtin_shufflevector(a.v, b.v, (w / 2 + L / 2 + (L % 2) * w)...));
}
template <class T, int... L>
DIFFMPM_INLINE Pack<T> even(Pack<T> a, Pack<T> b, std::integer_sequence<int, L...>) {
  return Pack<T>::raw(__builtin_shufflevector(a.v, b.v, (2 * L)...));
}
template <class T, int... L>
DIFFMPM_INLINE Pack<T> odd(Pack<T> a, Pack<T> b, std::integer_sequence<int, L...>) {
  return Pack<T>::raw(__builtin_shufflevector(a.v, b.v, (2 * L + 1)...));
}
#endif

// Transpose: out[4 * lane + channel] is lane `lane` of the pack of that channel.
template <class T>
DIFFMPM_INLINE void store_quads(T* out, Pack<T> a, Pack<T> b, Pack<T> c, Pack<T> d) {
#if defined(__GNUC__)
  constexpr int w = Pack<T>::kWidth;
  constexpr auto seq = std::make_integer_sequence<int, w>{};
  const Pack<T> ac0 = zip_low(a, c, seq), ac1 = zip_high(a, c, seq);
  const Pack<T> bd0 = zip_low(b, d, seq), bd1 = zip_high(b, d, seq);
  zip_low(ac0, bd0, seq).store(out);
  zip_high(ac0, bd0, seq).store(out + w);
  zip_low(ac1, bd1, seq).store(out + 2 * w);
  zip_high(ac1, bd1, seq).store(out + 3 * w);
#else
  out[0] = a.v, out[1] = b.v, out[2] = c.v, out[3] = d.v;
#endif
}

// The inverse: four packs, one per channel, from in[4 * lane + channel].
template <class T>
DIFFMPM_INLINE void load_quads(const T* in, Pack<T>& a, Pack<T>& b, Pack<T>& c, Pack<T>& d) {
#if defined(__GNUC__)
  constexpr int w = Pack<T>::kWidth;
  constexpr auto seq = std::make_integer_sequence<int, w>{};
  const Pack<T> q0 = Pack<T>::load(in), q1 = Pack<T>::load(in + w);
  const Pack<T> q2 = Pack<T>::load(in + 2 * w), q3 = Pack<T>::load(in + 3 * w);
  const Pack<T> ac0 = even(q0, q1, seq), ac1 = even(q2, q3, seq);
  const Pack<T> bd0 = odd(q0, q1, seq), bd1 = odd(q2, q3, seq);
  a = even(ac0, ac1, seq), c = odd(ac0, ac1, seq);
  b = even(bd0, bd1, seq), d = odd(bd0, bd1, seq);
#else
  a = in[0], b = in[1], c = in[2], d = in[3];
#endif
}

DIFFMPM_END_ISA
