// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <vector>

// Surface fitted to the positions of one frame, for images and files: a closed mesh of quadrilaterals with vertex normals and
// colours, and flat Gaussians on it. Nothing here has a gradient; `surface.hpp` has the differentiable Gaussians. The result does
// not depend on the number of threads.

namespace diffmpm::surface {

struct FitParams {
  double spacing = 0;    // spacing of the particles [m], > 0; 0: measured
  double cell = 1.0;     // edge of a grid cell, in spacings, > 0
  double smoothing = 4;  // radius over which the noise of particle positions is removed, in spacings, >= 0
};

struct FittedSurface {
  double spacing = 0;                              // spacing of the particles [m]
  std::vector<double> vertices;                    // [m] (V, 3)
  std::vector<float> normals;                      // outward unit normals (V, 3)
  std::vector<float> colors;                       // (V, 3); empty without colours of particles
  std::vector<std::array<std::int32_t, 4>> quads;  // vertices, counter-clockwise seen from outside
};

// Fits a surface to particles at x (count, 3) [m]. `colors` (count, 3) are blended at the vertices; null: none. Groups
// of up to about three particles are left out; a sheet of one layer has two sides.
// Throws std::invalid_argument if the particles have no spacing or no surface.
FittedSurface fit(const double* x, std::int64_t count, const float* colors, const FitParams& params);

// Arrays of splits^2 Gaussians for each quadrilateral.
struct Discs {
  float* means = nullptr;    // [m] (M, 3)
  float* scales = nullptr;   // standard deviations [m], longest first, the last one along the normal (M, 3)
  float* quats = nullptr;    // unit quaternions (w, x, y, z), w >= 0, of the axes (M, 4)
  float* normals = nullptr;  // (M, 3)
  float* colors = nullptr;   // (M, 3); null: none
};

// Splits each quadrilateral into splits^2 parts and covers each by a Gaussian, whose standard deviations are `sigma` times the edges
// of the part and `flatness` times their mean along the normal.
void cover(const FittedSurface& surface, int splits, double sigma, double flatness, const Discs& out);

}  // namespace diffmpm::surface
