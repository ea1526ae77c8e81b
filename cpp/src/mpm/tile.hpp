// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstring>

#include "diffmpm/math/row.hpp"
#include "layout.hpp"

// A tile contains the nodes that the particles of a block touch, margin included, as (i, j, k, channel). Grid blocks own 4^3 nodes
// each; tiles are summed into them in a fixed order, so no two threads write one value.

DIFFMPM_BEGIN_ISA

static_assert(kChannels == kNodeChannels);

// Tile indices [first, last) of the neighbour at offset d, and the neighbour's node at `first`.
template <int Nodes>
struct Overlap {
  int first, last, node;
  explicit constexpr Overlap(int d)
      : first(d < 0 ? 0 : kBlockEdge * d + kMargin),
        last(d < 0 ? kMargin : (d == 0 ? kBlockEdge + kMargin : Nodes)),
        node(d < 0 ? kBlockEdge - kMargin : 0) {}
};

// Along k an overlap is a whole row or, in the margin, a single node.
static_assert(kMargin == 1 && kRowNodes == kBlockEdge);

inline constexpr int kGridStrideJ = kBlockEdge * kChannels;
inline constexpr int kGridStrideI = kBlockEdge * kGridStrideJ;

// Copies the nodes around a particle block into its tile.
template <class T, Basis B>
inline void load_tile(const T* grid, const std::array<Index, kDirections>& neighbors, T* tile) {
  using Shape = TileShape<B>;
  for (int d = 0; d < kDirections; ++d) {
    const Overlap<Shape::kEdge> oi(d / 9 - 1), oj(d / 3 % 3 - 1);
    const Overlap<Shape::kDepth> ok(d % 3 - 1);
    const T* block = grid + std::int64_t{neighbors[d]} * kGridBlockSize;
    const bool whole = ok.last - ok.first == kBlockEdge;  // else the margin: one node
    for (int i = oi.first; i < oi.last; ++i)
      for (int j = oj.first; j < oj.last; ++j) {
        const T* in = block + (oi.node + i - oi.first) * kGridStrideI + (oj.node + j - oj.first) * kGridStrideJ;
        T* out = tile + i * Shape::kStrideI + j * Shape::kStrideJ + ok.first * kChannels;
        if (whole) {
          Row<T>::load(in).store(out);
        } else {
          std::memcpy(out, in + ok.node * kChannels, kChannels * sizeof(T));
        }
      }
  }
}

// Sums the tiles around a grid block into its nodes.
template <class T, Basis B>
inline void sum_tiles(const T* tiles, const std::array<Index, kDirections>& sources, T* block) {
  using Shape = TileShape<B>;
  std::memset(block, 0, sizeof(T) * kGridBlockSize);
  for (int d = 0; d < kDirections; ++d) {
    if (sources[d] < 0) continue;
    // From the tile, the grid block is in the opposite direction.
    const Overlap<Shape::kEdge> oi(1 - d / 9), oj(1 - d / 3 % 3);
    const Overlap<Shape::kDepth> ok(1 - d % 3);
    const bool whole = ok.last - ok.first == kBlockEdge;  // else the margin: one node
    const T* tile = tiles + sources[d] * Shape::kSize;
    for (int i = oi.first; i < oi.last; ++i)
      for (int j = oj.first; j < oj.last; ++j) {
        const T* in = tile + i * Shape::kStrideI + j * Shape::kStrideJ + ok.first * kChannels;
        T* out = block + (oi.node + i - oi.first) * kGridStrideI + (oj.node + j - oj.first) * kGridStrideJ;
        if (whole) {
          (Row<T>::load(out) + Row<T>::load(in)).store(out);
        } else {
          for (int n = 0; n < kChannels; ++n) out[ok.node * kChannels + n] += in[n];
        }
      }
  }
}

DIFFMPM_END_ISA
