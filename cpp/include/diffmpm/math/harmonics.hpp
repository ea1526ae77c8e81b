// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/math/mat3.hpp"

// Real spherical harmonics in the order and with the signs of 3D Gaussian splatting (Kerbl et al. 2023).

namespace diffmpm {

inline constexpr int kMostHarmonics = 16;  // those of degree 0 to 3

// Values in a unit direction of the harmonics of one degree, 0 to 3: 2 degree + 1 numbers, for the orders -degree to degree.
template <class T>
void harmonics_of_degree(int degree, const Vec3<T>& direction, T* out) {
  const T x = direction[0], y = direction[1], z = direction[2];
  if (degree == 0) {
    out[0] = T(0.28209479177387814);  // 1 / (2 sqrt(pi))
  } else if (degree == 1) {
    constexpr T a(0.4886025119029199);  // sqrt(3 / (4 pi))
    out[0] = -a * y, out[1] = a * z, out[2] = -a * x;
  } else if (degree == 2) {
    constexpr T a(1.0925484305920792), b(0.31539156525252005), c(0.5462742152960396);
    out[0] = a * x * y, out[1] = -a * y * z, out[2] = b * (2 * z * z - x * x - y * y);
    out[3] = -a * x * z, out[4] = c * (x * x - y * y);
  } else {
    constexpr T a(0.5900435899266435), b(2.890611442640554), c(0.4570457994644658), d(0.3731763325901154),
        e(1.445305721320277);
    const T middle = 4 * z * z - x * x - y * y, outer = x * x - y * y;
    out[0] = -a * y * (3 * x * x - y * y), out[1] = b * x * y * z, out[2] = -c * y * middle;
    out[3] = d * z * (2 * z * z - 3 * x * x - 3 * y * y), out[4] = -c * x * middle, out[5] = e * z * outer;
    out[6] = -a * x * (x * x - 3 * y * y);
  }
}

// Values of all harmonics of degree 0 to `degree` in a unit direction: (degree + 1)^2 numbers.
template <class T>
void harmonics(int degree, const Vec3<T>& direction, T* out) {
  for (int l = 0; l <= degree; ++l) harmonics_of_degree(l, direction, out + l * l);
}

}  // namespace diffmpm
