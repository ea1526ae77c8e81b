// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "diffmpm/core/random.hpp"

namespace diffmpm::testing {

// `count` random numbers in [-scale / 2, scale / 2).
template <class T>
std::vector<T> random_numbers(std::int64_t count, std::uint64_t seed, double scale) {
  std::vector<T> v;
  for (std::int64_t n = 0; n < count; ++n)
    v.push_back(static_cast<T>(scale * (random_uniform(seed, static_cast<std::uint64_t>(n), 0) - 0.5)));
  return v;
}

}  // namespace diffmpm::testing
