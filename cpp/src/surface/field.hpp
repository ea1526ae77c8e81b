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

// Fraction of the neighbourhood of a point that the body fills: 1 inside, 0 outside, `level` at the surface.
struct Fill {
  double value = 0;
  Point gradient;  // [1/m]
};

// Fill fraction (6.1) of a body of particles, with the volumes of the particles measured from their neighbourhoods.
class Field {
 public:
  Field(const double* x, std::int64_t count, const SurfaceParams& params);

  Fill at(const Point& q) const;
  // Depth [m] of a fill fraction below a flat surface; negative outside.
  double depth(double fill) const;
  // Moves y onto the surface, to about the square of `tolerance` (in spacings), and writes the outward unit normal. Returns false,
  // with y unchanged, if no surface is nearby.
  bool project(double tolerance, Point& y, Point& normal) const;
  // Distance [m] of the boundary outside of the level set where the height over the tangent plane has this laplacian [1/m].
  double blur(double laplacian) const;
  // Flags of the particles in the outer layer, in the order of the input.
  std::vector<std::uint8_t> outer() const;

  double spacing() const { return spacing_; }
  const geometry::CellList& cells() const { return cells_; }

 private:
  void check_cost() const;
  double measure();
  void smooth_volumes();
  // sum(query) over the particles around a point.
  template <class Sum>
  auto around(const Point& q, const std::vector<double>& weight, const Sum& sum) const;
  FillSums sums(const Point& q, const std::vector<double>& weight) const;

  geometry::CellList cells_;
  const FillKernels& kernels_;
  double spacing_ = 1, radius_ = 1, level_ = 0.5, level_depth_ = 0;
  std::vector<double> density_,
      filled_;                  // around the particle in each slot: of particles times R^3, and the fraction inside
  std::vector<double> volume_;  // over R^3, of the particle in each slot
};

}  // namespace diffmpm::surface
