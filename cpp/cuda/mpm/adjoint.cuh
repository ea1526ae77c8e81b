// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "mpm/forward.cuh"

// Adjoint passes, in reverse order, one for one as in cpp/src/mpm/adjoint.hpp: grid to particles, whose gather becomes a
// scatter; the grid update; particles to grid, whose scatter becomes a gather.

namespace diffmpm::cuda {

// Adjoint of (6)-(9). In `adj`, F becomes the path through F~, C the direct path through F; G is done. One block a particle
// block.
template <class T, Basis B>
struct GridToParticlesVjp {
  using Args = StepView<T>;
  struct Shared {
    Tile<T, B, 3> velocity, tile;
    Staged<T, B, 3> staged;
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    constexpr int kCount = Staged<T, B, 3>::kCount;
    const ParticleBlock& pb = a.layout.blocks[block.index()];
    load_tile(block, a, s.velocity);
    clear_tile(block, s.tile);
    for (int first = 0; first < pb.particle_count; first += kCount) {
      const int left = pb.particle_count - first, count = left < kCount ? left : kCount;
      block.for_each(count, [&](int n) { stage(a, pb, first + n, n, s); });
      scatter(block, s.staged, count, s.tile);
    }
    store_tile(block, a, s.tile);
  }

  static DIFFMPM_HD void stage(const Args& a, const ParticleBlock& pb, int m, int n, Shared& s) {
    const T* state = lane_of(a.state, pb, m, a.state_components);
    const T* next = lane_of<const T>(a.next, pb, m, a.state_components);
    T* adj = lane_of(a.adj, pb, m, a.state_components);
    const Mat3<T> F = load_mat(state, kF), E = step_gradient(a.c, load_mat(next, kC));
    Advanced<T> adj_out;
    adj_out.x = load_vec<T>(adj, kX), adj_out.v = load_vec<T>(adj, kV);
    adj_out.C = load_mat<T>(adj, kC), adj_out.F = load_mat<T>(adj, kF), adj_out.E = Mat3<T>::zero();
    if (a.state_components == kStateComponentsG) {
      const Mat3<T> adj_G = load_mat<T>(adj, kG);
      adj_out.E = mul_nt(adj_G, load_mat(state, kG));
      store_mat(adj, kG, mul_tn(E, adj_G));
    }
    const AdvanceAdjoint<T> in = advance_vjp(a.c, F, controlled(a, pb, m, F), load_vec(next, kV), E, adj_out);
    const Stencil<T, B> st(a.c, pb.coord, load_vec(state, kX));
    const Affine<T, 3> q(a.c, st.e, T(0), in.b, in.A);
    store_vec(adj, kX, in.x + weights_gradient(a.c, st, q, s.velocity));
    store_mat(adj, kC, in.F), store_mat(adj, kF, in.F_control);
    s.staged.put(n, st, q);
  }
};

// Adjoint of (5): cotangents of the velocities, summed from the tiles, become those of mass and momentum. One block a grid
// block.
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
    T sums[kGridBlockSize];
    Gravity scratch[kThreads];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    sum_tiles<B>(block, a, s.sums);
    fold(block, s.scratch, kBlockNodes, [&](int n) { return update_node_vjp(a, block.index(), n, s.sums); });
    block.for_each(3, [&](int r) { a.adj_gravity[3 * std::int64_t{block.index()} + r] = s.scratch[0].at[r]; });
  }

  static DIFFMPM_HD Gravity update_node_vjp(const Args& a, int block, int n, const T* sums) {
    const NodeIndex node(a.layout.grid[block], n);
    const std::int64_t at = std::int64_t{block} * kGridBlockSize + n * kNodeChannels;
    const T* mq = a.grid_mq + at;
    const T* adj = sums + n * kNodeChannels;
    const Vec3<T> q = {{mq[1], mq[2], mq[3]}}, adj_v = {{adj[1], adj[2], adj[3]}};
    T adj_m;
    Vec3<T> adj_q;
    Gravity g{};
    grid_update_vjp(a.c, node.at, mq[0], q, adj_v, adj_m, adj_q, g.at);
    a.grid_v[at] = adj_m;
    for (int r = 0; r < 3; ++r) a.grid_v[at + 1 + r] = adj_q[r];
    return g;
  }
};

// Adjoint of (1)-(4). One block a particle block.
template <class T, Basis B>
struct ParticlesToTilesVjp {
  using Args = StepView<T>;
  struct Outcome {
    double keep_momentum;
    int degenerate;
    DIFFMPM_HD Outcome& operator+=(const Outcome& o) {
      keep_momentum += o.keep_momentum, degenerate += o.degenerate;
      return *this;
    }
  };
  struct Shared {
    Tile<T, B, 4> tile;
    Outcome scratch[kThreads];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const ParticleBlock& pb = a.layout.blocks[block.index()];
    load_tile(block, a, s.tile);
    fold(block, s.scratch, pb.particle_count, [&](int m) {
      return a.mass_only ? mass_vjp(a, pb, m, s.tile)
                         : (a.rest_state ? stress_vjp<true>(a, pb, m, s.tile) : stress_vjp<false>(a, pb, m, s.tile));
    });
    if (a.mass_only) return;
    block.for_each(1, [&](int) {
      a.adj_drag[block.index()] = -static_cast<double>(a.c.dt) * s.scratch[0].keep_momentum;
      a.flags[block.index()] = s.scratch[0].degenerate > 0 ? kFlagBad : std::uint8_t{0};
    });
  }

  static DIFFMPM_HD Outcome mass_vjp(const Args& a, const ParticleBlock& pb, int m, const Tile<T, B, 4>& tile) {
    const Stencil<T, B> st(a.c, pb.coord, load_vec(lane_of(a.state, pb, m, a.state_components), kX));
    const T mass = lane_of(a.constants, pb, m, kConstComponents)[kMass * kLanes];
    T sum[4];
    Mat3<T> unused;
    gather(st, tile, sum, unused);
    const Affine<T, 4> q(a.c, st.e, mass, Vec3<T>::zero(), Mat3<T>::zero());
    T* adj = lane_of(a.adj, pb, m, a.state_components);
    store_vec(adj, kX, load_vec<T>(adj, kX) + weights_gradient(a.c, st, q, tile));
    lane_of(a.adj_constants, pb, m, kConstComponents)[kMass * kLanes] += sum[0];
    return {};
  }

  template <bool kRestState>
  static DIFFMPM_HD Outcome stress_vjp(const Args& a, const ParticleBlock& pb, int m, const Tile<T, B, 4>& tile) {
    const Stencil<T, B> st(a.c, pb.coord, load_vec(lane_of(a.state, pb, m, a.state_components), kX));
    const Particle<T> p = load_particle(a, pb, m);
    T* out = lane_of(a.adj, pb, m, a.state_components);
    StressSaved<T> saved;
    const Momentum<T> q = particle_momentum<kRestState>(a.c, p, saved);
    T sum[4], degenerate = T(1);
    Momentum<T> adj_q;
    gather(st, tile, sum, adj_q.A);
    adj_q.b = {{sum[1], sum[2], sum[3]}};
    adj_q.A = moments_at_particle(a.c, st.e, adj_q.b, adj_q.A);
    ParticleAdjoint<T> adj{};
    adj.mass = sum[0], adj.F = load_mat<T>(out, kF);
    particle_momentum_vjp<kRestState>(a.c, p, saved, adj_q, adj, degenerate);
    // Offsets d_i = x_i - x_p carry the momentum's A to x.
    const Vec3<T> adj_x =
        weights_gradient(a.c, st, Affine<T, 4>(a.c, st.e, p.mass, q.b, q.A), tile) - mul_tn(q.A, adj_q.b);
    store_vec(out, kX, load_vec<T>(out, kX) + adj_x), store_vec(out, kV, adj.v);
    const Mat3<T> direct = load_mat<T>(out, kC);
    store_mat(out, kC, adj.C), store_mat(out, kF, adj.F + direct);
    if (a.adj_control) {
      T* control = a.adj_control + 9 * row_of(a, pb, m);
      for (int k = 0; k < 9; ++k) control[k] = adj.F.m[k];
    }
    if (a.adj_constants) add_constants(a, lane_of(a.adj_constants, pb, m, const_components(a)), adj);
    return {static_cast<double>(adj.keep_momentum), degenerate < kDegenerate<T>};
  }

  static DIFFMPM_HD void add_constants(const Args& a, T* out, const ParticleAdjoint<T>& adj) {
    out[kMass * kLanes] += adj.mass, out[kVolume * kLanes] += adj.volume;
    out[kLam * kLanes] += adj.lam, out[kMu * kLanes] += adj.mu;
    if (a.rest_state)
      for (int k = 0; k < 9; ++k) out[(kFpInv + k) * kLanes] += adj.Fp_inv.m[k];
  }
};

}  // namespace diffmpm::cuda
