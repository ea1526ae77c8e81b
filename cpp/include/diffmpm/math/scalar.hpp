// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>

#include "diffmpm/core/macros.hpp"

// Functions of a scalar that pack.hpp overloads for a pack, so that one formula serves both.

DIFFMPM_BEGIN_ISA

// Element type of a scalar or a pack.
template <class S>
struct ScalarOfImpl {
  using type = S;
};
template <class S>
using ScalarOf = typename ScalarOfImpl<S>::type;

DIFFMPM_HD float vsqrt(float a) { return std::sqrt(a); }
DIFFMPM_HD double vsqrt(double a) { return std::sqrt(a); }

// Largest integer not above a, for 0 <= a < 2^30 (grid coordinates inside the domain).
DIFFMPM_HD float floor_positive(float a) { return static_cast<float>(static_cast<std::int32_t>(a)); }
DIFFMPM_HD double floor_positive(double a) { return static_cast<double>(static_cast<std::int32_t>(a)); }

// A comparison of packs is a mask with all bits of a lane set where it holds.
DIFFMPM_HD bool any(bool mask) { return mask; }
template <class S>
DIFFMPM_HD S select(bool mask, S a, S b) {
  return mask ? a : b;
}

DIFFMPM_END_ISA

#if !defined(__CUDACC__)
#include "diffmpm/math/pack.hpp"
#endif
