// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/core/random.hpp"
#include "diffmpm/math/mat3.hpp"

namespace diffmpm::testing {

// Entries uniform in [-1, 1), determined by the stream.
inline Mat3<double> random_matrix(std::uint64_t stream) {
  Mat3<double> a;
  for (int n = 0; n < 9; ++n) a.m[n] = 2 * random_uniform(7, static_cast<std::uint64_t>(n), stream) - 1;
  return a;
}

// A deformation gradient with determinant well above zero.
inline Mat3<double> random_deformation(std::uint64_t stream) {
  Mat3<double> F = 0.25 * random_matrix(stream);
  return F.add_diagonal(1.0);
}

// Largest difference of two matrices.
inline double distance(const Mat3<double>& a, const Mat3<double>& b) {
  double largest = 0;
  for (int n = 0; n < 9; ++n) {
    const double d = a.m[n] - b.m[n];
    largest = d > largest ? d : (-d > largest ? -d : largest);
  }
  return largest;
}

}  // namespace diffmpm::testing
