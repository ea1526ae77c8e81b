// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

// Gaussians of a trained scene that move with the particles of a body. Nothing here has a gradient. The results do not depend on the
// number of threads.

namespace diffmpm::surface {

// Clamps the singular values of matrices F (count, 3, 3) to [1 / limit, limit], limit >= 1. Where F does not preserve orientation,
// the smallest one counts as positive.
void limit_stretches(const double* F, std::int64_t count, double limit, double* out);

// Gaussians at rest and the particles that carry them. Rows of `parent` are not checked.
struct SceneView {
  std::int64_t count;
  int parents;
  const std::int32_t* parent;  // (count, parents)
  const double* weight;        // of each parent (count, parents)
  const double* axes;          // square roots of the covariances at rest [m] (count, 3, 3)
  int bands;                   // coefficients of degree 1 and more: 0, 3, 8 or 15
  const float* rest;           // these coefficients (count, bands, 3)
};

struct SceneArrays {
  float* scales;  // standard deviations [m], longest first (count, 3)
  float* quats;   // unit quaternions (w, x, y, z), w >= 0 (count, 4)
  float* rest;    // rotated coefficients (count, bands, 3)
};

// Covariances follow the weighted mean of the F of the parents, harmonics its rotation. Axes are at least `thinnest` times as long as
// the longest one.
void carry_gaussians(const SceneView& scene, const double* F, double thinnest, const SceneArrays& out);

// Rotates functions on the sphere: the new f(d) is the old f(R^T d). `rest` as in SceneView, `R` (3, 3), or (count, 3, 3) if `each`.
template <class T>
void rotate_harmonics(const T* rest, std::int64_t count, int bands, const double* R, bool each, T* out);

// Sums (count, 3) of coefficients (count, (degree + 1)^2, 3) times the harmonics in unit directions (count, 3).
template <class T>
void evaluate_harmonics(const T* coefficients, std::int64_t count, int degree, const T* directions, T* out);

}  // namespace diffmpm::surface
