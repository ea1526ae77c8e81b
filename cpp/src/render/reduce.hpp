// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include "diffmpm/math/pack.hpp"

// Sums over the lanes of several vectors at once, in an order that depends only on the vector width.

DIFFMPM_BEGIN_ISA

#if defined(__GNUC__)
// Adds the two halves of each segment of `Segment` lanes; the results of a come first, then those of b.
template <int Segment, class T, int... L>
DIFFMPM_INLINE Pack<T> fold_pair(Pack<T> a, Pack<T> b, std::integer_sequence<int, L...>) {
  constexpr int half = Segment / 2;
  // Output lane l takes lane l % half of segment l / half, over the segments of a and b in a row.
  const auto low = __builtin_shufflevector(a.v, b.v, (L / half * Segment + L % half)...);
  const auto high = __builtin_shufflevector(a.v, b.v, (L / half * Segment + half + L % half)...);
  return Pack<T>::raw(low + high);
}

// Folds Count vectors with segments of `Segment` lanes to one vector. With Segment = Count = width, lane l is the sum of v[l].
template <int Segment, int Count, class T>
DIFFMPM_INLINE Pack<T> fold_all(Pack<T>* v) {
  if constexpr (Count == 1) {
    return v[0];
  } else {
    DIFFMPM_UNROLL
    for (int n = 0; n < Count / 2; ++n)
      v[n] = fold_pair<Segment>(v[2 * n], v[2 * n + 1], std::make_integer_sequence<int, Pack<T>::kWidth>{});
    return fold_all<Segment / 2, Count / 2>(v);
  }
}

// out[n] = sum of the lanes of v[n], n < kWidth; v is overwritten.
template <class T>
DIFFMPM_INLINE void store_lane_sums(Pack<T>* v, T* out) {
  constexpr int w = Pack<T>::kWidth;
  fold_all<w, w>(v).store(out);
}
#else
template <class T>
DIFFMPM_INLINE void store_lane_sums(Pack<T>* v, T* out) {
  *out = v->v;
}
#endif

DIFFMPM_END_ISA
