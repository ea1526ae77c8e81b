// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <vector>

// Sparse grid around particles: blocks of nodes where a particle is near, and particles sorted by block.

namespace diffmpm::surface {

inline constexpr int kBlock = 8;  // nodes of a block along each axis
inline constexpr int kBlockNodes = kBlock * kBlock * kBlock;
inline constexpr int kTile = kBlock + 2;  // a block with one layer of neighbours

inline int node_of(int i, int j, int k) { return (i * kBlock + j) * kBlock + k; }
inline int tile_node(int i, int j, int k) {
  return ((i + 1) * kTile + j + 1) * kTile + k + 1;
}  // -1 <= i, j, k <= kBlock

class BlockGrid {
 public:
  // Blocks that hold every node within `reach` cells and one more of a particle. The grid covers 2^20 blocks to each side of the
  // first particle; particles farther away are left out.
  BlockGrid(const double* x, std::int64_t count, double cell, double reach);

  std::int64_t size() const { return static_cast<std::int64_t>(coordinates_.size()); }
  double cell() const { return cell_; }
  const double* origin() const { return origin_; }
  // Node (0, 0, 0) of a block, in cells from the origin.
  std::array<std::int64_t, 3> corner(std::int64_t block) const;
  // Neighbour of a block at an offset of -1, 0 or 1 along each axis; -1 where there is no block.
  std::int32_t neighbour(std::int64_t block, int i, int j, int k) const {
    return neighbours_[block][static_cast<std::size_t>((i + 1) * 9 + (j + 1) * 3 + k + 1)];
  }

  // Particle in a slot: index in the input, and position in cells from the corner of its block.
  struct Particle {
    float x, y, z;
    std::int32_t index;
  };
  // Calls visit(particle, offset) for the particles of the blocks that may be within reach of a block, in a fixed order; `offset`
  // is that of their block [blocks].
  template <class Visit>
  void visit_near(std::int64_t block, Visit&& visit) const {
    for (int i = -range_; i <= range_; ++i)
      for (int j = -range_; j <= range_; ++j)
        for (int k = -range_; k <= range_; ++k) {
          const std::int32_t b = range_ == 1 ? neighbour(block, i, j, k) : at_offset(block, i, j, k);
          if (b < 0 || b >= homes_) continue;
          for (std::int32_t s = start_[b]; s < start_[b + 1]; ++s) visit(particles_[s], i, j, k);
        }
  }

  // Values at the nodes of a block and one layer around it, `outside` where there is no block.
  void load(const float* values, std::int64_t block, float outside, float* tile) const;

 private:
  std::int32_t find(std::uint64_t key) const;
  std::int32_t insert(std::uint64_t key);
  std::int32_t at_offset(std::int64_t block, int i, int j, int k) const;
  void grow();

  double origin_[3] = {0, 0, 0}, cell_ = 1;
  int range_ = 1;           // blocks
  std::int64_t homes_ = 0;  // the first blocks are those with particles
  std::vector<std::uint64_t> coordinates_, table_key_;
  std::vector<std::int32_t> table_, start_;
  std::vector<Particle> particles_;
  std::vector<std::array<std::int32_t, 27>> neighbours_;
};

}  // namespace diffmpm::surface
