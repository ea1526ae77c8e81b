// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>

#include "diffmpm/core/macros.hpp"

// Penalty of a distance beyond a limit (docs/method.md, section 4), and the term of a target point and its nearest particle.

DIFFMPM_BEGIN_ISA

// Eq. 4.7: sqrt(1 + t^2) - 1 for t > 0, else 0. About t^2 / 2 near 0, about t far away, with a continuous slope at 0. Writes the
// slope.
template <class T>
DIFFMPM_HD T excess_penalty(T t, T& slope) {
  slope = T(0);
  if (!(t > T(0))) return T(0);
  const T root = std::sqrt(T(1) + t * t);
  slope = t / root;
  return t * t / (T(1) + root);  // without cancellation for small t
}

// Eq. 4.8: the penalty of one target point y, divided by the number of target points. Writes d penalty / d x of its nearest
// particle x, shape (3).
template <class T>
struct ProximityTerm {
  const T *x, *y;               // particles (N, 3), target points (K, 3)
  const std::int32_t* nearest;  // (K,)
  T inverse_spacing, reach, weight;
  T* adj;  // (K, 3)

  DIFFMPM_HD double operator()(std::int64_t k) const {
    const T *at = x + 3 * std::int64_t{nearest[k]}, *to = y + 3 * k;
    const T d[3] = {at[0] - to[0], at[1] - to[1], at[2] - to[2]};
    const T distance = std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    T slope;
    const T value = excess_penalty(distance * inverse_spacing - reach, slope);
    // A positive slope implies a positive distance, because the reach is at least 0.
    const T factor = slope > T(0) ? weight * slope * inverse_spacing / distance : T(0);
    for (int a = 0; a < 3; ++a) adj[3 * k + a] = factor * d[a];
    return static_cast<double>(weight) * static_cast<double>(value);
  }
};

DIFFMPM_END_ISA
