// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "diffmpm/mpm/params.hpp"

// Order of the particles in memory, and the blocks of the sparse grid.
//
// Cells form blocks of 4^3. Particles are sorted by block, then by cell, and packed into groups of 16 lanes; a block starts
// a new group, whose missing lanes are padding (copies of a particle without mass or volume). A particle may drift one cell
// out of its block before the order has to be renewed: a block's tile has that margin.

namespace diffmpm {

inline constexpr int kLanes = 16;       // particles a group
inline constexpr int kBlockEdge = 4;    // cells, and owned nodes, a block and axis
inline constexpr int kMargin = 1;       // cells that a particle may leave its block by
inline constexpr int kDirections = 27;  // a block and its neighbours; index 9 (di + 1) + 3 (dj + 1) + (dk + 1)
inline constexpr int kBlockNodes = kBlockEdge * kBlockEdge * kBlockEdge;

// Components of a group's state, 16 lanes each: x 3, v 3, C 9, F 9 and, where tracked, G 9.
inline constexpr int kX = 0, kV = 3, kC = 6, kF = 15, kG = 24;
inline constexpr int kStateComponents = 24, kStateComponentsG = 33;
// Constants: mass, volume, lam, mu and, where the rest state is not the identity, Fp^-1.
inline constexpr int kMass = 0, kVolume = 1, kLam = 2, kMu = 3, kFpInv = 4;
inline constexpr int kConstComponents = 4, kConstComponentsFp = 13;

struct ParticleBlock {
  Index first_group, group_count, particle_count;
  Index coord[3];
};

struct GridBlock {
  Index coord[3];
};

struct Layout {
  std::vector<Index> ids;  // particle of each lane; ~particle for padding
  std::vector<ParticleBlock> blocks;
  std::vector<GridBlock> grid;                            // every block that a tile reaches, in lexicographic order
  std::vector<std::array<Index, kDirections>> neighbors;  // grid block in each direction of a particle block
  std::vector<std::array<Index, kDirections>> sources;    // particle block in each direction of a grid block, or -1

  std::int64_t group_count() const { return static_cast<std::int64_t>(ids.size()) / kLanes; }
};

// Sort `count` particles at x (count, 3), which are all inside the domain; ties keep their order.
template <class T>
Layout make_layout(const MpmParams& params, const T* x, std::int64_t count);

// First particle whose stencil leaves the grid or whose position is not finite, or -1.
template <class T>
std::int64_t find_outside(const MpmParams& params, const T* x, std::int64_t count);

}  // namespace diffmpm
