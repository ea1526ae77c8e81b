// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/core/macros.hpp"
#include "diffmpm/mpm/params.hpp"

namespace diffmpm::cuda {

// Index of the first of `count` ascending keys that is not below `key`, or `count`.
template <class Key>
DIFFMPM_HD Index lower_bound(const Key* keys, Index count, Key key) {
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
