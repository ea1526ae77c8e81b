// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/math/mat3.hpp"
#include "diffmpm/mpm/bspline.hpp"
#include "diffmpm/mpm/constants.hpp"

// Memory layout of particles and nodes on either backend (docs/design.md, "Data layout"): particles in groups of 16 lanes, cells in
// blocks of 4^3, and around each block the tile of nodes that its particles touch.

namespace diffmpm {

inline constexpr int kLanes = 16;       // particles per group
inline constexpr int kBlockEdge = 4;    // cells, and owned nodes, of a block along an axis
inline constexpr int kMargin = 1;       // cells that a particle may move out of its block
inline constexpr int kDirections = 27;  // a block and its neighbours: index 9 (di + 1) + 3 (dj + 1) + (dk + 1)
inline constexpr int kBlockNodes = kBlockEdge * kBlockEdge * kBlockEdge;
inline constexpr int kNodeChannels = 4;  // of a node: mass and momentum, or velocity in the last three
inline constexpr int kGridBlockSize = kBlockNodes * kNodeChannels;

// Components of a group's state, 16 lanes each: x 3, v 3, C 9, F 9 and, where tracked, G 9.
inline constexpr int kX = 0, kV = 3, kC = 6, kF = 15, kG = 24;
inline constexpr int kStateComponents = 24, kStateComponentsG = 33;
// Particle properties: mass, volume, lam, mu and, where the rest state is not the identity, Fp^-1.
inline constexpr int kMass = 0, kVolume = 1, kLam = 2, kMu = 3, kFpInv = 4;
inline constexpr int kPropertyComponents = 4, kPropertyComponentsFp = 13;

// Bits of a block's flag. A pass never stops early, so flags do not depend on the number of threads.
inline constexpr std::uint8_t kFlagInvalidMomentum = 1;  // F~ is inverted or the momentum is not finite
inline constexpr std::uint8_t kFlagUnsorted = 2;         // a particle left the margin of its block
inline constexpr std::uint8_t kFlagInvalidState = 4;     // after the step a particle is outside, not finite or inverted
inline constexpr std::uint8_t kFlagDegenerate = 8;       // adjoint: F~ has no unique rotation

struct BatchOutcome {
  std::int64_t steps;  // number of steps that ran
  std::uint8_t flags;  // of the last of them
};

// Arguments that the passes of a step have on either backend.
template <class T>
struct StepFields {
  int state_components = kStateComponents;
  bool rest_state = false;        // properties hold Fp^-1
  bool mass_only = false;         // transfer mass, no momentum (grid mass and its adjoint)
  const T* properties = nullptr;  // groups of particle properties
  const T* state = nullptr;       // groups of layer n
  T* next = nullptr;              // groups of layer n + 1
  const T* control = nullptr;     // (N, 3, 3) of this step in the caller's order, or null
  T* tiles = nullptr;
  T* grid_mq = nullptr;           // mass and momentum, (grid block, 64, 4)
  T* grid_v = nullptr;            // velocity in channels 1..3, or null; in the adjoint also (adj_m, adj_q)
  T* adj = nullptr;               // groups of the state's adjoint, updated in place from n + 1 to n
  T* adj_properties = nullptr;    // groups, accumulated, or null
  T* adj_control = nullptr;       // (N, 3, 3) of this step, written, or null
  double* adj_gravity = nullptr;  // partial sums
  double* adj_drag = nullptr;     // partial sums
};

struct ParticleBlock {
  Index first_group, group_count, particle_count;
  Index coord[3];
};

struct GridBlock {
  Index coord[3];
};

// The direction back from a neighbour.
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

// Sort keys. Blocks are ordered by their coordinates, cells by their block and then by their position in it.
struct BlockPacking {
  Index low[3];  // smallest coordinate of a block
  int bits[3];   // of the coordinate along each axis

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

// Coordinates of the neighbour of a block in direction d.
DIFFMPM_HD void neighbor_coord(const Index (&coord)[3], int d, Index (&out)[3]) {
  out[0] = coord[0] + d / 9 - 1, out[1] = coord[1] + d / 3 % 3 - 1, out[2] = coord[2] + d % 3 - 1;
}

// Coordinates of node n, 0 to 63, of a grid block.
struct NodeIndex {
  Index at[3];
  DIFFMPM_HD NodeIndex(const GridBlock& block, int n)
      : at{kBlockEdge * block.coord[0] + n / 16, kBlockEdge * block.coord[1] + n / 4 % 4,
           kBlockEdge * block.coord[2] + n % 4} {}
};

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

// Position of grid coordinate s of an axis in the tile of the block at `block`: first node `at` of the stencil, counted from the
// first node of the tile, and offset e from the centre node at + 1.
template <Basis B, class S>
DIFFMPM_HD void locate_in_tile(const S& s, Index block, S& at, S& e) {
  using T = ScalarOf<S>;
  const S first(T(kBlockEdge * block - kMargin)), last(T(TileShape<B>::kBaseCells - 1)), zero(T(0));
  S base;
  locate<B>(s, base, e);
  // Rounding may put a particle on the far side of a cell face here, but not where the order was checked.
  at = base - first;
  at = select(at < zero, zero, at);
  at = select(at > last, last, at);
  e = s - (first + at) - S(T(1));
}

// Sets `outside` to one where x is outside of the grid, and `unsorted` where it has left the margin of its block.
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

// Eq. 4: contribution of a particle to the nodes of its stencil, without their weights. b + A d with d = dx (a - e), in steps a of
// one cell from the centre node, is base + slope a.
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
