// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>

#include "diffmpm/core/macros.hpp"

namespace diffmpm {

// Counter-based random numbers: the value depends on (seed, counter, stream) alone, so threads may draw in any order.

// Bijective mixing of 64 bits (Stafford 2011, variant 13; the finaliser of splitmix64).
DIFFMPM_HD std::uint64_t mix64(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// 64 random bits for (seed, counter, stream); two rounds with odd increments separate the three words.
DIFFMPM_HD std::uint64_t random_bits(std::uint64_t seed, std::uint64_t counter, std::uint64_t stream) {
  constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15ULL;
  constexpr std::uint64_t kOdd = 0xd1342543de82ef95ULL;
  const std::uint64_t key = mix64(seed * kOdd + (stream + 1) * kGolden);
  return mix64(mix64(counter * kGolden + key) + key);
}

// Uniform number in [0, 1), a multiple of 2^-53.
DIFFMPM_HD double random_uniform(std::uint64_t seed, std::uint64_t counter, std::uint64_t stream) {
  constexpr double kScale = 1.0 / 9007199254740992.0;  // 2^-53
  return static_cast<double>(random_bits(seed, counter, stream) >> 11) * kScale;
}

// Uniform point of the unit ball, from streams `stream` to `stream` + 2.
DIFFMPM_HD void random_in_ball(std::uint64_t seed, std::uint64_t counter, std::uint64_t stream, double* point) {
  constexpr double kTwoPi = 6.283185307179586477;
  const double angle = kTwoPi * random_uniform(seed, counter, stream);
  const double z = 2.0 * random_uniform(seed, counter, stream + 1) - 1.0;
  const double r = std::cbrt(random_uniform(seed, counter, stream + 2)), flat = r * std::sqrt(1.0 - z * z);
  point[0] = flat * std::cos(angle), point[1] = flat * std::sin(angle), point[2] = r * z;
}

}  // namespace diffmpm
