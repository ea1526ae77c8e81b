// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "diffmpm/mpm/blocks.hpp"

// Order of the particles in memory, and the blocks of the sparse grid.
//
// Particles are sorted by block, then by cell, and packed into groups of 16 lanes. Each block starts a new group; the missing lanes
// of its last group are padding (copies of a particle without mass or volume). A particle may drift one cell out of its block
// before the particles are sorted again: tiles have that margin.

namespace diffmpm {

struct Layout {
  std::vector<Index> ids;  // particle of each lane; ~particle for padding
  std::vector<ParticleBlock> blocks;
  std::vector<GridBlock> grid;                            // every block that a tile reaches, in lexicographic order
  std::vector<std::array<Index, kDirections>> neighbors;  // grid block in each direction of a particle block
  std::vector<std::array<Index, kDirections>> sources;    // particle block in each direction of a grid block, or -1

  std::int64_t grid_count() const { return static_cast<std::int64_t>(grid.size()); }
  std::int64_t group_count() const { return static_cast<std::int64_t>(ids.size()) / kLanes; }
};

// Sorts `count` particles at x (count, 3), all inside the grid. Stable.
template <class T>
Layout make_layout(const MpmParams& params, const T* x, std::int64_t count);

// First particle whose stencil leaves the grid or whose position is not finite, or -1.
template <class T>
std::int64_t find_outside(const MpmParams& params, const T* x, std::int64_t count);

}  // namespace diffmpm
