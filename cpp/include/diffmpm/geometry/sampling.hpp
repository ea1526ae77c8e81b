// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "diffmpm/core/random.hpp"
#include "diffmpm/geometry/inside.hpp"

namespace diffmpm::geometry {

// A box of cubic cells with one point each, at random within the middle `jitter` of the cell.
struct CellGrid {
  Point origin;                      // lowest corner of cell (0, 0, 0)
  double spacing = 1.0;              // edge of a cell, above 0
  std::int64_t dims[3] = {0, 0, 0};  // cells per axis
  double jitter = 1.0;               // 0: cell centres (a lattice); 1: anywhere in the cell (stratified sampling)
  std::uint64_t seed = 0;

  std::int64_t count() const { return dims[0] * dims[1] * dims[2]; }

  // The point of cell (i, j, k): origin + spacing (i + 1/2 + jitter (u - 1/2)), u uniform in [0, 1).
  Point point(std::int64_t i, std::int64_t j, std::int64_t k) const {
    const auto cell = static_cast<std::uint64_t>((i * dims[1] + j) * dims[2] + k);
    const auto offset = [&](std::uint64_t axis) {
      return jitter > 0.0 ? 0.5 + jitter * (random_uniform(seed, cell, axis) - 0.5) : 0.5;
    };
    return {origin.x + spacing * (static_cast<double>(i) + offset(0)),
            origin.y + spacing * (static_cast<double>(j) + offset(1)),
            origin.z + spacing * (static_cast<double>(k) + offset(2))};
  }
};

struct InsidePoints {
  std::vector<double> points;  // [count][3], in the order of their cells (z fastest)
  std::int64_t inverted = 0;   // cells whose point has a winding number below -1/2, as in a mesh turned inside out
};

// Points of the cells whose winding number is above 1/2. Each cell that the surface touches is classified by its own point, the
// other cells by one winding number per connected region of a block. Away from the surface the winding number changes only
// across boundary edges, so a closed mesh is classified exactly as by points_inside. Near the boundary edges of an open mesh, and
// where its winding number is close to 1/2, each cell is classified by its own point.
InsidePoints sample_cells(const MeshView& mesh, const CellGrid& grid);

// keep_flags[count] = 0 for `count - keep` points, spread evenly: points are ordered along a space-filling (Morton) curve, and
// one is removed from each of that many equal stretches. 1 for all others.
void thin_evenly(const double* points, std::int64_t count, std::int64_t keep, std::uint64_t seed,
                 std::uint8_t* keep_flags);

}  // namespace diffmpm::geometry
