// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "mpm/forward.cuh"

// Adjoint passes, in reverse order, as in cpp/src/mpm/adjoint.hpp: grid to particles, whose gather becomes a scatter; the grid
// update; particles to grid, whose scatter becomes a gather.

namespace diffmpm::cuda {

// Adjoint of (6)-(9). In `adj`, F becomes the path through F~, C the direct path through F; G is done. One block per chunk.
template <class T, Basis B>
struct GridToParticlesVjp {
  using Args = StepView<T>;
  struct Shared {
    Tile<T, B, 3> velocity;
    Scatter<T, B, 3> scatter;
  };
  static constexpr int kBlockThreads = Scatter<T, B, 3>::kBlockThreads, kBlocks = 4;

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const Chunk& chunk = a.layout.chunks[block.index()];
    load_tile(block, a, s.velocity);
    scatter_chunk(block, chunk.particles, s.scatter,
                  [&](int, int m, StagedParticle<T, 3>& row) { stage(a, chunk.particles, m, s.velocity, row); });
    store_tile(block, a, s.scatter);
  }

  static DIFFMPM_HD void stage(const Args& a, const ParticleBlock& pb, int m, const Tile<T, B, 3>& velocity,
                               StagedParticle<T, 3>& row) {
    const T* state = lane_of(a.state, pb, m, a.state_components);
    const T* next = lane_of<const T>(a.next, pb, m, a.state_components);
    T* adj = lane_of(a.adj, pb, m, a.state_components);
    const Mat3<T> F = load_mat(state, kF), E = step_gradient(a.c, load_mat(next, kC));
    Advanced<T> adj_out;
    adj_out.x = load_vec<T>(adj, kX), adj_out.v = load_vec<T>(adj, kV);
    adj_out.C = load_mat<T>(adj, kC), adj_out.F = load_mat<T>(adj, kF), adj_out.E = Mat3<T>::zero();
    if (a.state_components == kStateComponentsG) {
      store_mat(adj, kG, carry_motion_vjp(E, load_mat(state, kG), load_mat<T>(adj, kG), adj_out.E));
    }
    const AdvanceAdjoint<T> in = advance_vjp(a.c, F, controlled(a, pb, m, F), load_vec(next, kV), E, adj_out);
    const Stencil<T, B> st(a.c, pb.coord, load_vec(state, kX));
    const Affine<T, 3> q(a.c, st.e, T(0), in.b, in.A);
    T unused[3];
    Mat3<T> moments;
    store_vec(adj, kX, in.x + weights_gradient<false>(a.c, st, q, velocity, unused, moments));
    store_mat(adj, kC, in.F), store_mat(adj, kF, in.F_control);
    row.put(st.e, st.corner, q);
  }
};

// Adjoint of (5): cotangents of the velocities, summed from the tiles, become those of mass and momentum. One block per pair
// of grid blocks.
template <class T, Basis B>
struct TilesToGridVjp {
  using Args = StepView<T>;
  struct Gravity {
    double at[3];
    DIFFMPM_HD Gravity& operator+=(const Gravity& o) {
      for (int r = 0; r < 3; ++r) at[r] += o.at[r];
      return *this;
    }
  };
  struct Shared {
    Gravity scratch[kNodesPerBlock];
  };
  static constexpr int kBlocks = 8;

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const std::int64_t first = std::int64_t{block.index()} * kNodesPerBlock;
    fold(block, s.scratch, kNodesPerBlock, [&](int n) {
      return first + n < std::int64_t{a.layout.grid_count} * kBlockNodes ? update_node_vjp(a, first + n) : Gravity{};
    });
    block.for_each(3, [&](int r) { a.adj_gravity[3 * std::int64_t{block.index()} + r] = s.scratch[0].at[r]; });
  }

  static DIFFMPM_HD Gravity update_node_vjp(const Args& a, std::int64_t n) {
    const NodeIndex node(a.layout.grid[n / kBlockNodes], static_cast<int>(n % kBlockNodes));
    const Node<T, 4> adj = sum_tiles<B>(a, n / kBlockNodes, static_cast<int>(n % kBlockNodes));
    const Node<T, 4> mq = reinterpret_cast<const Node<T, 4>*>(a.grid_mq)[n];
    const Vec3<T> q = {{mq.at[1], mq.at[2], mq.at[3]}}, adj_v = {{adj.at[1], adj.at[2], adj.at[3]}};
    T adj_m;
    Vec3<T> adj_q;
    Gravity g{};
    grid_update_vjp(a.c, node.at, mq.at[0], q, adj_v, adj_m, adj_q, g.at);
    reinterpret_cast<Node<T, 4>*>(a.grid_v)[n] = {{adj_m, adj_q[0], adj_q[1], adj_q[2]}};
    return g;
  }
};

// Adjoint of (1)-(4). One block per chunk.
template <class T, Basis B>
struct ParticlesToTilesVjp {
  using Args = StepView<T>;
  struct Shared {
    Tile<T, B, 4> tile;
    double drag[kThreads];
  };
  static constexpr int kBlocks = sizeof(T) == 4 ? 4 : 2;

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const ParticleBlock& pb = a.layout.chunks[block.index()].particles;
    load_tile(block, a, s.tile);
    if (a.mass_only) return block.for_each(pb.particle_count, [&](int m) { mass_vjp(a, pb, m, s.tile); });
    block.raise(a.flags, block.any_bits(kThreads, [&](int t) {
      int flags = 0;
      double drag = 0;
      for (int m = t; m < pb.particle_count; m += kThreads)
        flags |= a.rest_state ? stress_vjp<true>(a, pb, m, s.tile, drag) : stress_vjp<false>(a, pb, m, s.tile, drag);
      s.drag[t] = drag;
      return flags;
    }));
    fold(block, s.drag);
    block.for_each(1, [&](int) { a.adj_drag[block.index()] = -static_cast<double>(a.c.dt) * s.drag[0]; });
  }

  static DIFFMPM_HD void mass_vjp(const Args& a, const ParticleBlock& pb, int m, const Tile<T, B, 4>& tile) {
    const Stencil<T, B> st(a.c, pb.coord, load_vec(lane_of(a.state, pb, m, a.state_components), kX));
    const T mass = lane_of(a.properties, pb, m, kPropertyComponents)[kMass * kLanes];
    T sum[4];
    Mat3<T> unused;
    const Affine<T, 4> q(a.c, st.e, mass, Vec3<T>::zero(), Mat3<T>::zero());
    T* adj = lane_of(a.adj, pb, m, a.state_components);
    store_vec(adj, kX, load_vec<T>(adj, kX) + weights_gradient<true>(a.c, st, q, tile, sum, unused));
    lane_of(a.adj_properties, pb, m, kPropertyComponents)[kMass * kLanes] += sum[0];
  }

  template <bool kRestState>
  static DIFFMPM_HD int stress_vjp(const Args& a, const ParticleBlock& pb, int m, const Tile<T, B, 4>& tile,
                                   double& drag) {
    const Stencil<T, B> st(a.c, pb.coord, load_vec(lane_of(a.state, pb, m, a.state_components), kX));
    const Particle<T> p = load_particle(a, pb, m);
    T* out = lane_of(a.adj, pb, m, a.state_components);
    StressSaved<T> saved;
    const Mat3<T> direct = load_mat<T>(out, kC);
    const Vec3<T> before = load_vec<T>(out, kX);
    const Momentum<T> q = particle_momentum<kRestState>(a.c, p, saved);
    T sum[4], min_gap = T(1);
    Momentum<T> adj_q;
    const Affine<T, 4> values(a.c, st.e, p.mass, q.b, q.A);
    const Vec3<T> by_weights = weights_gradient<true>(a.c, st, values, tile, sum, adj_q.A);
    adj_q.b = {{sum[1], sum[2], sum[3]}};
    adj_q.A = moments_at_particle(a.c, st.e, adj_q.b, adj_q.A);
    ParticleAdjoint<T> adj{};
    adj.mass = sum[0], adj.F = load_mat<T>(out, kF);
    particle_momentum_vjp<kRestState>(a.c, p, saved, adj_q, adj, min_gap);
    const Vec3<T> adj_x = add_offsets_vjp(by_weights, q.A, adj_q.b);
    store_vec(out, kX, before + adj_x), store_vec(out, kV, adj.v);
    store_mat(out, kC, adj.C), store_mat(out, kF, adj.F + direct);
    if (a.adj_control) {
      T* control = a.adj_control + 9 * row_of(a, pb, m);
      for (int k = 0; k < 9; ++k) control[k] = adj.F.m[k];
    }
    if (a.adj_properties) add_properties(a, lane_of(a.adj_properties, pb, m, property_components(a)), adj);
    drag += static_cast<double>(adj.keep_momentum);
    return min_gap < kDegenerate<T> ? kFlagDegenerate : 0;
  }

  static DIFFMPM_HD void add_properties(const Args& a, T* out, const ParticleAdjoint<T>& adj) {
    T to[4] = {out[kMass * kLanes], out[kVolume * kLanes], out[kLam * kLanes], out[kMu * kLanes]};
    to[0] += adj.mass, to[1] += adj.volume, to[2] += adj.lam, to[3] += adj.mu;
    out[kMass * kLanes] = to[0], out[kVolume * kLanes] = to[1], out[kLam * kLanes] = to[2], out[kMu * kLanes] = to[3];
    if (a.rest_state) store_mat(out, kFpInv, load_mat<T>(out, kFpInv) + adj.Fp_inv);
  }
};

}  // namespace diffmpm::cuda
