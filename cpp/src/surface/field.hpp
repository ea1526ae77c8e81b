// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "diffmpm/geometry/neighbours.hpp"
#include "diffmpm/surface/params.hpp"
#include "fill_kernel.hpp"

namespace diffmpm::surface {

using geometry::Point;

// How much of the neighbourhood of a point the body fills: 1 inside, 0 outside, `level` at the surface.
struct Fill {
  double value = 0;
  Point gradient;  // [1/m]
};

// Fill fraction of a body of particles, (6.1): each particle counts the volume that its neighbourhood gives it.
class Field {
 public:
  Field(const double* x, std::int64_t count, const SurfaceParams& params);

  Fill at(const Point& q) const;
  // Depth below the surface [m] that a fill fraction means where the surface is flat; negative outside.
  double depth(double fill) const;
  // Moves y onto the surface, to about the square of `tolerance` (in spacings), and writes the outward unit normal. False,
  // with y unchanged, where there is no surface nearby.
  bool project(double tolerance, Point& y, Point& normal) const;
  // Distance [m] from the level set out to the boundary, where the surface has this laplacian [1/m] over its tangent plane.
  double blur(double laplacian) const;
  // Flags, in the caller's order, of the particles in the outer layer.
  std::vector<std::uint8_t> outer() const;

  double spacing() const { return spacing_; }
  const geometry::CellList& cells() const { return cells_; }

 private:
  void check_cost() const;
  double measure();
  void smooth_volumes();
  // sum(query) for the particles around a point.
  template <class Sum>
  auto around(const Point& q, const std::vector<double>& weight, const Sum& sum) const;
  FillSums sums(const Point& q, const std::vector<double>& weight) const;

  geometry::CellList cells_;
  const FillKernels* kernels_ = &fill_kernels();
  double spacing_ = 1, radius_ = 1, level_ = 0.5, level_depth_ = 0;
  std::vector<double> density_,
      filled_;                  // around the particle in each slot: of particles times R^3, and the share inside
  std::vector<double> volume_;  // over R^3, of the particle in each slot
};

}  // namespace diffmpm::surface
