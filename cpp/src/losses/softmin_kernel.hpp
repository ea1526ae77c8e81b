// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

// The inner loop of a transport loss, compiled for each instruction set.

namespace diffmpm {

template <class T>
struct SoftminKernels {
  // Lines per call.
  int lines;
  // out[l][x] = log2 sum_y 2^(h[y][first + l] - cost[x - y]) for `lines` lines, or those before `end`; rows of h have `end` values,
  // rows of out `length`. scratch: length * lines values.
  void (*log_sums)(int length, std::int64_t first, std::int64_t end, const T* h, const T* cost, T* scratch, T* out);
};

}  // namespace diffmpm
