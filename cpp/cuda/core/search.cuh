// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/core/macros.hpp"
#include "diffmpm/mpm/params.hpp"

namespace diffmpm::cuda {

// First of `count` ascending keys that is not below `key`; `count` where all are.
DIFFMPM_HD Index lower_bound(const std::uint64_t* keys, Index count, std::uint64_t key) {
  Index first = 0, last = count;
  while (first < last) {
    const Index middle = first + (last - first) / 2;
    if (keys[middle] < key) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first;
}

}  // namespace diffmpm::cuda
