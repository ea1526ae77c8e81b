// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/mpm/g2p.hpp"
#include "diffmpm/mpm/grid_update.hpp"
#include "mpm/transfer.cuh"

// Forward passes (1)-(9), one for one as in cpp/src/mpm/forward.hpp. Loops and data movement only.

namespace diffmpm::cuda {

// Momentum of the m-th particle of a block; counts it in `bad` where it must not reach the grid.
template <class T>
DIFFMPM_HD Momentum<T> momentum_of(const StepView<T>& a, const Particle<T>& p, StressSaved<T>& saved) {
  return a.rest_state ? particle_momentum<true>(a.c, p, saved) : particle_momentum<false>(a.c, p, saved);
}

// (1)-(4): each particle block scatters mass and momentum into its tile. One block a particle block.
template <class T, Basis B>
struct ParticlesToTiles {
  using Args = StepView<T>;
  struct Shared {
    Tile<T, B, 4> tile;
    Staged<T, B, 4> staged;
    int bad[Staged<T, B, 4>::kCount], scratch[kThreads];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    constexpr int kCount = Staged<T, B, 4>::kCount;
    const ParticleBlock& pb = a.layout.blocks[block.index()];
    clear_tile(block, s.tile);
    block.for_each(kCount, [&](int n) { s.bad[n] = 0; });
    for (int first = 0; first < pb.particle_count; first += kCount) {
      const int left = pb.particle_count - first, count = left < kCount ? left : kCount;
      block.for_each(count, [&](int n) { s.bad[n] += stage(a, pb, first + n, n, s.staged); });
      scatter(block, s.staged, count, s.tile);
    }
    store_tile(block, a, s.tile);
    fold(block, s.scratch, kCount, [&](int n) { return s.bad[n]; });
    block.for_each(1, [&](int) { a.flags[block.index()] = s.scratch[0] > 0 ? kFlagBad : std::uint8_t{0}; });
  }

  static DIFFMPM_HD int stage(const Args& a, const ParticleBlock& pb, int m, int n, Staged<T, B, 4>& staged) {
    const Stencil<T, B> st(a.c, pb.coord, load_vec(lane_of(a.state, pb, m, a.state_components), kX));
    if (a.mass_only) {
      const T mass = lane_of(a.constants, pb, m, const_components(a))[kMass * kLanes];
      staged.put(n, st, Affine<T, 4>(a.c, st.e, mass, Vec3<T>::zero(), Mat3<T>::zero()));
      return 0;
    }
    const Particle<T> p = load_particle(a, pb, m);
    StressSaved<T> saved;
    const Momentum<T> q = momentum_of(a, p, saved);
    T bad = T(0);
    check_momentum(p, q, bad);
    staged.put(n, st, Affine<T, 4>(a.c, st.e, p.mass, q.b, q.A));
    return bad > T(0);
  }
};

// (5) for node n of a grid block, from its mass and momentum.
template <class T>
DIFFMPM_HD void update_node(const StepView<T>& a, int block, int n, const T* mq) {
  const NodeIndex node(a.layout.grid[block], n);
  const Vec3<T> q = {{mq[1], mq[2], mq[3]}};
  const Vec3<T> v = grid_update(a.c, node.at, mq[0], q);
  T* out = a.grid_v + std::int64_t{block} * kGridBlockSize + n * kNodeChannels;
  out[0] = T(0);
  for (int r = 0; r < 3; ++r) out[1 + r] = v[r];
}

// Sum of the tiles, and (5) where velocities are wanted. One block a grid block.
template <class T, Basis B>
struct TilesToGrid {
  using Args = StepView<T>;
  struct Shared {
    T sums[kGridBlockSize];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    sum_tiles<B>(block, a, s.sums);
    T* mq = a.grid_mq + std::int64_t{block.index()} * kGridBlockSize;
    block.for_each(kGridBlockSize, [&](int n) { mq[n] = s.sums[n]; });
    if (!a.grid_v) return;
    block.for_each(kBlockNodes, [&](int n) { update_node(a, block.index(), n, s.sums + n * kNodeChannels); });
  }
};

// (5) again, from mass and momentum that were kept. One block a grid block.
template <class T, Basis B>
struct GridVelocity {
  using Args = StepView<T>;
  struct Shared {};

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared&, const Args& a) {
    const T* mq = a.grid_mq + std::int64_t{block.index()} * kGridBlockSize;
    block.for_each(kBlockNodes, [&](int n) { update_node(a, block.index(), n, mq + n * kNodeChannels); });
  }
};

// What the new state of a block's particles asks for, counted.
struct Verdict {
  int bad, unsorted;
  DIFFMPM_HD Verdict& operator+=(const Verdict& o) {
    bad += o.bad, unsorted += o.unsorted;
    return *this;
  }
};

// (6)-(9). One block a particle block.
template <class T, Basis B>
struct GridToParticles {
  using Args = StepView<T>;
  struct Shared {
    Tile<T, B, 3> tile;
    Verdict scratch[kThreads];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const ParticleBlock& pb = a.layout.blocks[block.index()];
    load_tile(block, a, s.tile);
    fold(block, s.scratch, pb.particle_count, [&](int m) { return advance_one(a, pb, m, s.tile); });
    block.for_each(1, [&](int) {
      std::uint8_t& flag = a.flags[block.index()];
      if (s.scratch[0].bad > 0) flag |= kFlagSpoilt;
      if (s.scratch[0].unsorted > 0) flag |= kFlagUnsorted;
    });
  }

  static DIFFMPM_HD Verdict advance_one(const Args& a, const ParticleBlock& pb, int m, const Tile<T, B, 3>& tile) {
    const T* state = lane_of(a.state, pb, m, a.state_components);
    T* out = lane_of(a.next, pb, m, a.state_components);
    const Vec3<T> x = load_vec(state, kX);
    const Mat3<T> F = load_mat(state, kF);
    const Stencil<T, B> st(a.c, pb.coord, x);
    Vec3<T> v;
    Mat3<T> moments;
    gather(st, tile, v.c, moments);
    const Mat3<T> M = moments_at_particle(a.c, st.e, v, moments);
    const Advanced<T> to = advance(a.c, v, M, x, F, controlled(a, pb, m, F));
    store_vec(out, kX, to.x), store_vec(out, kV, to.v), store_mat(out, kC, to.C), store_mat(out, kF, to.F);
    T extra = T(0), bad = T(0), unsorted = T(0);
    if (a.state_components == kStateComponentsG) {
      const Mat3<T> G = mul(to.E, load_mat(state, kG));
      store_mat(out, kG, G);
      extra = contract(G, G);
    }
    check_advanced(to, extra, bad);
    check_position<B>(a.c, pb.coord, to.x, bad, unsorted);
    return {bad > T(0), unsorted > T(0)};
  }
};

}  // namespace diffmpm::cuda
