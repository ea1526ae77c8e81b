// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace diffmpm::geometry {

// Gaussians g with covariances [m^2], stored as [count][3][3].
struct GaussianView {
  const double *means, *covars, *opacities;
  std::int64_t count;
};

// out[i][j][k] = sum over g of opacity_g exp(-d^T covar_g^-1 d / 2) at the nodes origin + spacing (i, j, k) of a grid; Gaussians
// act up to three standard deviations. The order of the sums does not depend on the number of threads.
void opacity_density(const GaussianView& gaussians, const double* origin, double spacing, const std::int64_t* dims,
                     double* out);

}  // namespace diffmpm::geometry
