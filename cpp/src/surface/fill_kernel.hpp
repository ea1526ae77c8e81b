// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/geometry/neighbours.hpp"

// Sums over neighbours, compiled for each instruction set.

namespace diffmpm::surface {

using geometry::kPadding;  // values after the last one of each array that a kernel may read and ignores

struct FillQuery {
  const double* x = nullptr;  // coordinates and weights of the points, in slot order
  const double* y = nullptr;
  const double* z = nullptr;
  const double* weight = nullptr;
  const std::int32_t* runs = nullptr;  // (run_count, 2) slots [begin, end)
  int run_count = 0;
  double q[3] = {0, 0, 0};
  double inverse = 1;  // 1 / R^2
};

// With d = q - x_p, u = |d|^2 / R^2 and the density kernel W:
struct FillSums {
  double value = 0;              // sum of weight W(u)
  double slope[3] = {0, 0, 0};   // sum of weight W'(u) d
  double moment[3] = {0, 0, 0};  // sum of weight W(u) d
};

struct FillKernels {
  void (*sums)(const FillQuery&, FillSums&);
  // Sum of weight W(u) over the sum of other W(u), for another array of weights.
  double (*ratio)(const FillQuery&, const double* other);
};

}  // namespace diffmpm::surface
