// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/mpm/g2p.hpp"
#include "diffmpm/mpm/grid_update.hpp"
#include "mpm/transfer.cuh"

// Forward passes (1)-(9), as in cpp/src/mpm/forward.hpp.

namespace diffmpm::cuda {

template <class T>
DIFFMPM_HD Momentum<T> momentum_of(const StepView<T>& a, const Particle<T>& p, StressSaved<T>& saved) {
  return a.rest_state ? particle_momentum<true>(a.c, p, saved) : particle_momentum<false>(a.c, p, saved);
}

// (1)-(4): each chunk scatters mass and momentum into its tile. One block per chunk.
template <class T, Basis B>
struct ParticlesToTiles {
  using Args = StepView<T>;
  struct Shared {
    Scatter<T, B, 4> scatter;
    int flags[Scatter<T, B, 4>::kBlockThreads];
  };
  static constexpr int kBlockThreads = Scatter<T, B, 4>::kBlockThreads, kBlocks = 4;

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const Chunk& chunk = a.layout.chunks[block.index()];
    block.for_each(kBlockThreads, [&](int t) { s.flags[t] = 0; });
    scatter_chunk(block, chunk.particles, s.scatter,
                  [&](int t, int m, StagedParticle<T, 4>& row) { s.flags[t] |= stage(a, chunk.particles, m, row); });
    store_tile(block, a, s.scatter);
    block.raise(a.flags, block.any_bits(kBlockThreads, [&](int t) { return s.flags[t]; }));
  }

  static DIFFMPM_HD int stage(const Args& a, const ParticleBlock& pb, int m, StagedParticle<T, 4>& row) {
    const Stencil<T, B> st(a.c, pb.coord, load_vec(lane_of(a.state, pb, m, a.state_components), kX));
    if (a.mass_only) {
      const T mass = lane_of(a.properties, pb, m, property_components(a))[kMass * kLanes];
      row.put(st.e, st.corner, Affine<T, 4>(a.c, st.e, mass, Vec3<T>::zero(), Mat3<T>::zero()));
      return 0;
    }
    const Particle<T> p = load_particle(a, pb, m);
    StressSaved<T> saved;
    const Momentum<T> q = momentum_of(a, p, saved);
    T bad = T(0);
    check_momentum(p, q, bad);
    row.put(st.e, st.corner, Affine<T, 4>(a.c, st.e, p.mass, q.b, q.A));
    return bad > T(0) ? kFlagInvalidMomentum : 0;
  }
};

// (5) for node n of the sparse grid, from its mass and momentum.
template <class T>
DIFFMPM_HD void update_node(const StepView<T>& a, std::int64_t n, const Node<T, 4>& mq) {
  const NodeIndex node(a.layout.grid[n / kBlockNodes], static_cast<int>(n % kBlockNodes));
  const Vec3<T> v = grid_update(a.c, node.at, mq.at[0], Vec3<T>{{mq.at[1], mq.at[2], mq.at[3]}});
  reinterpret_cast<Node<T, 4>*>(a.grid_v)[n] = {{T(0), v[0], v[1], v[2]}};
}

inline constexpr int kNodesPerBlock = 2 * kBlockNodes;  // of the sparse grid, per thread block

// Calls body(n) for the nodes of the sparse grid that a thread block handles.
template <class Block, class T, class Body>
DIFFMPM_HD void for_nodes(Block& block, const StepView<T>& a, const Body& body) {
  const std::int64_t first = std::int64_t{block.index()} * kNodesPerBlock;
  block.template for_all<kNodesPerBlock>([&](int n) {
    if (first + n < std::int64_t{a.layout.grid_count} * kBlockNodes) body(first + n);
  });
}

// Sum of the tiles, and (5) unless grid_v is null. One block per pair of grid blocks.
template <class T, Basis B>
struct TilesToGrid {
  using Args = StepView<T>;
  struct Shared {};
  static constexpr int kBlocks = 8;

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared&, const Args& a) {
    for_nodes(block, a, [&](std::int64_t n) {
      const Node<T, 4> mq = sum_tiles<B>(a, n / kBlockNodes, static_cast<int>(n % kBlockNodes));
      reinterpret_cast<Node<T, 4>*>(a.grid_mq)[n] = mq;
      if (a.grid_v) update_node(a, n, mq);
    });
  }
};

// (5) again, from stored mass and momentum. One block per pair of grid blocks.
template <class T, Basis B>
struct GridVelocity {
  using Args = StepView<T>;
  struct Shared {};

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared&, const Args& a) {
    for_nodes(block, a, [&](std::int64_t n) { update_node(a, n, reinterpret_cast<const Node<T, 4>*>(a.grid_mq)[n]); });
  }
};

// (6)-(9). One block per chunk.
template <class T, Basis B>
struct GridToParticles {
  using Args = StepView<T>;
  struct Shared {
    Tile<T, B, 3> tile;
  };
  static constexpr int kBlocks = sizeof(T) == 4 ? 6 : 3;

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const ParticleBlock& pb = a.layout.chunks[block.index()].particles;
    load_tile(block, a, s.tile);
    block.raise(a.flags, block.any_bits(pb.particle_count, [&](int m) { return advance_one(a, pb, m, s.tile); }));
  }

  static DIFFMPM_HD int advance_one(const Args& a, const ParticleBlock& pb, int m, const Tile<T, B, 3>& tile) {
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
      const Mat3<T> G = carry_motion(to.E, load_mat(state, kG));
      store_mat(out, kG, G);
      extra = contract(G, G);
    }
    check_advanced(to, extra, bad);
    check_position<B>(a.c, pb.coord, to.x, bad, unsorted);
    return (bad > T(0) ? kFlagInvalidState : 0) | (unsorted > T(0) ? kFlagUnsorted : 0);
  }
};

}  // namespace diffmpm::cuda
