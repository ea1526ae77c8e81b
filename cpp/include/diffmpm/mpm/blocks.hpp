// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/math/mat3.hpp"
#include "diffmpm/mpm/bspline.hpp"
#include "diffmpm/mpm/constants.hpp"

// How particles and nodes stand in memory, on the CPU and on a device alike (docs/design.md, "Data layout"): particles in
// groups of 16 lanes, cells in blocks of 4^3, and around a block the tile of nodes that its particles touch.

namespace diffmpm {

inline constexpr int kLanes = 16;       // particles a group
inline constexpr int kBlockEdge = 4;    // cells, and owned nodes, a block and axis
inline constexpr int kMargin = 1;       // cells that a particle may leave its block by
inline constexpr int kDirections = 27;  // a block and its neighbours; index 9 (di + 1) + 3 (dj + 1) + (dk + 1)
inline constexpr int kBlockNodes = kBlockEdge * kBlockEdge * kBlockEdge;
inline constexpr int kNodeChannels = 4;  // of a node: mass and momentum, or velocity in the last three
inline constexpr int kGridBlockSize = kBlockNodes * kNodeChannels;

// Components of a group's state, 16 lanes each: x 3, v 3, C 9, F 9 and, where tracked, G 9.
inline constexpr int kX = 0, kV = 3, kC = 6, kF = 15, kG = 24;
inline constexpr int kStateComponents = 24, kStateComponentsG = 33;
// Constants: mass, volume, lam, mu and, where the rest state is not the identity, Fp^-1.
inline constexpr int kMass = 0, kVolume = 1, kLam = 2, kMu = 3, kFpInv = 4;
inline constexpr int kConstComponents = 4, kConstComponentsFp = 13;

// A pass sets these bits of a block's flag; it never stops early, so flags do not depend on the number of threads.
inline constexpr std::uint8_t kFlagBad = 1;           // F~ inverted or momentum not finite; in the adjoint: degenerate
inline constexpr std::uint8_t kFlagUnsorted = 2;      // a particle left its block's margin
inline constexpr std::uint8_t kFlagInvalidState = 4;  // after the step a particle is outside, not finite or inverted

// What became of a batch of steps.
struct BatchOutcome {
  std::int64_t steps;  // that ran
  std::uint8_t flags;  // that blocks raised in the last of them
};

struct ParticleBlock {
  Index first_group, group_count, particle_count;
  Index coord[3];
};

struct GridBlock {
  Index coord[3];
};

// Seen from the other end a direction is the opposite one.
inline constexpr int opposite(int direction) { return kDirections - 1 - direction; }

}  // namespace diffmpm

DIFFMPM_BEGIN_ISA

// Nodes (i, j, k, channel) of a tile, margin included.
template <Basis B>
struct TileShape {
  static constexpr int kBaseCells = kBlockEdge + 2 * kMargin;        // first nodes of stencils, per axis
  static constexpr int kEdge = kBaseCells + BSpline<B>::kNodes - 1;  // nodes along i and j
  static constexpr int kDepth = kBaseCells + 3;                      // along k: rows are always four nodes wide
  static constexpr int kNodes = kEdge * kEdge * kDepth;
  static constexpr int kStrideJ = kDepth * kNodeChannels;
  static constexpr int kStrideI = kEdge * kStrideJ;
  static constexpr std::int64_t kSize = std::int64_t{kEdge} * kStrideI;
};

// Grid coordinate of a position along an axis [cells].
template <class S, class T>
DIFFMPM_HD S grid_coordinate(const StepConstants<T>& c, const S& x, int axis) {
  return (x - S(c.origin[axis])) * S(c.inv_dx);
}

// Whether all nodes of the stencil at x exist; false where x is not finite.
template <class T>
DIFFMPM_HD bool inside_grid(const StepConstants<T>& c, Basis basis, const T* x) {
  for (int r = 0; r < 3; ++r) {
    const T s = grid_coordinate(c, x[r], r);
    if (!(basis == Basis::cubic ? inside_axis<Basis::cubic>(s, c.dims[r])
                                : inside_axis<Basis::quadratic>(s, c.dims[r])))
      return false;
  }
  return true;
}

// The first cell of the stencil at a position inside of the grid.
template <class T>
DIFFMPM_HD Index base_cell(const StepConstants<T>& c, Basis basis, const T* x, int axis) {
  const double shift = basis == Basis::cubic ? BSpline<Basis::cubic>::kShift : BSpline<Basis::quadratic>::kShift;
  return static_cast<Index>(floor_positive(grid_coordinate(c, x[axis], axis) - T(shift)));
}

// Sorting keys. Blocks are ordered by their coordinates, cells by their block and then by their place in it.
struct BlockPacking {
  Index low[3];  // smallest coordinate of a block
  int bits[3];   // that hold an axis' coordinate

  DIFFMPM_HD std::uint64_t pack(const Index (&coord)[3]) const {
    std::uint64_t key = 0;
    for (int r = 0; r < 3; ++r) key = (key << bits[r]) | static_cast<std::uint64_t>(coord[r] - low[r]);
    return key;
  }
  DIFFMPM_HD void unpack(std::uint64_t key, Index (&coord)[3]) const {
    for (int r = 2; r >= 0; --r) {
      coord[r] = static_cast<Index>(key & ((std::uint64_t{1} << bits[r]) - 1)) + low[r];
      key >>= bits[r];
    }
  }
  int total_bits() const { return bits[0] + bits[1] + bits[2]; }
};

inline constexpr int kCellBits = 6;  // of a cell inside its block

template <class T>
DIFFMPM_HD std::uint64_t cell_key(const StepConstants<T>& c, Basis basis, const BlockPacking& packing, const T* x) {
  Index block[3];
  std::uint64_t cell = 0;
  for (int r = 0; r < 3; ++r) {
    const Index at = base_cell(c, basis, x, r);
    block[r] = at / kBlockEdge, cell = cell * kBlockEdge + static_cast<std::uint64_t>(at % kBlockEdge);
  }
  return (packing.pack(block) << kCellBits) | cell;
}

// Where grid coordinate s of an axis stands in the tile of the block at `block`: first node `at` of its stencil, counted from
// the tile's first, and offset e from the centre node at + 1.
template <Basis B, class S>
DIFFMPM_HD void locate_in_tile(const S& s, Index block, S& at, S& e) {
  using T = ScalarOf<S>;
  const S first(T(kBlockEdge * block - kMargin)), last(T(TileShape<B>::kBaseCells - 1)), zero(T(0));
  S base;
  locate<B>(s, base, e);
  // Rounding may place a particle on the far side of a cell's face here and not where the order was checked.
  at = base - first;
  at = select(at < zero, zero, at);
  at = select(at > last, last, at);
  e = s - (first + at) - S(T(1));
}

// Set `outside` to one where x is not inside of the grid, and `unsorted` where it has left the margin of its block.
template <Basis B, class S, class T>
DIFFMPM_HD void check_position(const StepConstants<T>& c, const Index (&block)[3], const Vec3<S>& x, S& outside,
                               S& unsorted) {
  const S one(T(1));
  for (int r = 0; r < 3; ++r) {
    const S s = grid_coordinate(c, x[r], r);
    const S lowest(T(BSpline<B>::kLowest)), highest(T(c.dims[r]) + T(BSpline<B>::kHighest));
    outside = select(s >= lowest, outside, one);
    outside = select(s < highest, outside, one);
    const T first = T(kBlockEdge * block[r] - kMargin) + T(BSpline<B>::kShift);
    unsorted = select(s >= S(first), unsorted, one);
    unsorted = select(s < S(first + T(TileShape<B>::kBaseCells)), unsorted, one);
  }
}

// Eq. 4: what a particle gives the nodes of its stencil, but for their weights. b + A d with d = dx (a - e), in steps a of one
// cell from the centre node, is base + slope a.
template <class S, class T>
DIFFMPM_HD void affine_at_center(const StepConstants<T>& c, const Vec3<S>& e, const Vec3<S>& b, const Mat3<S>& A,
                                 Vec3<S>& base, Mat3<S>& slope) {
  slope = S(c.dx) * A;
  base = b - mul(slope, e);
}

// Its transpose: M = sum w g d^T from the sums over nodes sum = sum w g and moments (:, s) = sum w a_s g.
template <class S, class T>
DIFFMPM_HD Mat3<S> moments_at_particle(const StepConstants<T>& c, const Vec3<S>& e, const Vec3<S>& sum,
                                       const Mat3<S>& moments) {
  Mat3<S> M;
  for (int s = 0; s < 3; ++s)
    for (int r = 0; r < 3; ++r) M(r, s) = S(c.dx) * (moments(r, s) - e[s] * sum[r]);
  return M;
}

DIFFMPM_END_ISA
