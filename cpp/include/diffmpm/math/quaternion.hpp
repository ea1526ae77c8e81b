// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>

#include "diffmpm/math/mat3.hpp"

namespace diffmpm {

// Unit quaternion (w, x, y, z), w >= 0, of the rotation with the columns a, b, c; divides by its largest component.
inline void quaternion(const Vec3<double>& a, const Vec3<double>& b, const Vec3<double>& c, float* out) {
  const double squares[4] = {1 + a[0] + b[1] + c[2], 1 + a[0] - b[1] - c[2], 1 - a[0] + b[1] - c[2],
                             1 - a[0] - b[1] + c[2]};
  double q[4];
  switch (std::max_element(squares, squares + 4) - squares) {
    case 0: q[0] = squares[0], q[1] = b[2] - c[1], q[2] = c[0] - a[2], q[3] = a[1] - b[0]; break;
    case 1: q[0] = b[2] - c[1], q[1] = squares[1], q[2] = b[0] + a[1], q[3] = c[0] + a[2]; break;
    case 2: q[0] = c[0] - a[2], q[1] = b[0] + a[1], q[2] = squares[2], q[3] = c[1] + b[2]; break;
    default: q[0] = a[1] - b[0], q[1] = c[0] + a[2], q[2] = c[1] + b[2], q[3] = squares[3];
  }
  const double size = std::sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  for (int r = 0; r < 4; ++r) out[r] = static_cast<float>(q[r] / (q[0] < 0 ? -size : size));
}

}  // namespace diffmpm
