// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "group_access.hpp"

// Adjoint passes, in reverse order: grid to particles, the grid update, particles to grid.

DIFFMPM_BEGIN_ISA

// Adjoint of (6)-(9) for one group, up to the gather: cotangents of v' and D^-1-scaled moments as affine quads. In `adj`, F
// becomes the path through F~, C the direct path through F, and x includes the path through the offsets; G is complete.
template <class T, Basis B>
inline void advance_group_vjp(const StepConstants<T>& c, const StepArgs<T>& a, const Group<T>& g,
                              const Stencil<T, B>& st, AffineQuads<T>& quads) {
  using P = Pack<T>;
  const std::int64_t at = g.index * a.state_components * kLanes;
  const T* next = a.next + at;
  T* adj = a.adj + at;
  for (int l = 0; l < kLanes; l += P::kWidth) {
    const Mat3<P> E = step_gradient(c, load_mat(next + l, kC));
    Advanced<P> adj_out;
    adj_out.x = load_vec(adj + l, kX), adj_out.v = load_vec(adj + l, kV);
    adj_out.C = load_mat(adj + l, kC), adj_out.F = load_mat(adj + l, kF), adj_out.E = Mat3<P>::zero();
    if (a.state_components == kStateComponentsG) {
      const Mat3<P> G = load_mat(g.state + l, kG);
      store_mat(adj + l, kG, carry_motion_vjp(E, G, load_mat(adj + l, kG), adj_out.E));
    }
    const AdvanceAdjoint<P> in =
        advance_vjp(c, load_mat(g.state + l, kF), controlled(a, g, l), load_vec(next + l, kV), E, adj_out);
    store_affine(c, st.e, P(T(0)), in.b, in.A, l, quads);
    store_vec(adj + l, kX, in.x), store_mat(adj + l, kC, in.F), store_mat(adj + l, kF, in.F_control);
  }
}

template <class T, Basis B>
inline void grid_to_particles_vjp(const StepArgs<T>& a) {
  using P = Pack<T>;
  using Shape = TileShape<B>;
  const StepConstants<T> c = step_constants<T>(*a.params);
  for_blocks(a, [&](const ParticleBlock& block, std::int64_t b) {
    alignas(64) T velocity[Shape::kSize];
    load_tile<T, B>(a.grid_v, a.layout->neighbors[b], velocity);
    T* tile = a.tiles + b * Shape::kSize;
    std::memset(tile, 0, sizeof(T) * static_cast<std::size_t>(Shape::kSize));
    Stencil<T, B> st;
    AffineQuads<T> quads;
    GradientQuads<T> gradient;
    for (int n = 0; n < block.group_count; ++n) {
      const Group<T> g(a, block, n);
      make_stencil(c, block.coord, g.state, st);
      advance_group_vjp(c, a, g, st, quads);
      if (n + 1 < block.group_count) {
        const std::int64_t at = (g.index + 1) * a.state_components * kLanes;
        prefetch_group(a.next + at, a.state_components), prefetch_group(a.adj + at, a.state_components);
      }
      clear_padding(gradient, g.lanes);
      gather_vjp(st, quads, g.lanes, velocity, tile, gradient);
      T* adj = a.adj + g.index * a.state_components * kLanes;
      for (int l = 0; l < kLanes; l += P::kWidth)
        store_vec(adj + l, kX, load_vec(adj + l, kX) + load_gradient(c, gradient, l));
    }
  });
}

// Adjoint of (5): cotangents of the velocities, summed from the tiles, become those of mass and momentum.
template <class T, Basis B>
inline void tiles_to_grid_vjp(const StepArgs<T>& a) {
  const StepConstants<T> c = step_constants<T>(*a.params);
  const std::int64_t count = static_cast<std::int64_t>(a.layout->grid.size());
  parallel_for(count, 4, a.threads, [&](std::int64_t n) {
    const auto i = static_cast<std::size_t>(n);
    const T* mq = a.grid_mq + n * kGridBlockSize;
    T* out = a.grid_v + n * kGridBlockSize;
    sum_tiles<T, B>(a.tiles, a.layout->sources[i], out);
    double adj_g[3] = {0, 0, 0};
    for_nodes<T>(a.layout->grid[i], [&](const Index(&node)[3], int at) {
      const Vec3<T> q = {{mq[at + 1], mq[at + 2], mq[at + 3]}};
      const Vec3<T> adj_v = {{out[at + 1], out[at + 2], out[at + 3]}};
      T adj_m;
      Vec3<T> adj_q;
      grid_update_vjp(c, node, mq[at], q, adj_v, adj_m, adj_q, adj_g);
      out[at] = adj_m;
      for (int r = 0; r < 3; ++r) out[at + 1 + r] = adj_q[r];
    });
    for (int r = 0; r < 3; ++r) a.adj_gravity[3 * n + r] += adj_g[r];
  });
}

// Forward values of stress_group_vjp.
template <class T>
struct GroupSaved {
  StressSaved<Pack<T>> stress[kSubs<T>];
  Momentum<Pack<T>> momentum[kSubs<T>];
};

template <bool kRestState, class T, Basis B>
inline void restore_group(const StepConstants<T>& c, const StepArgs<T>& a, const Group<T>& g, const Stencil<T, B>& st,
                          AffineQuads<T>& quads, GroupSaved<T>& saved) {
  using P = Pack<T>;
  for (int n = 0; n < kSubs<T>; ++n) {
    const int l = n * P::kWidth;
    const Particle<P> p = load_particle<kRestState>(a, g, l);
    saved.momentum[n] = particle_momentum<kRestState>(c, p, saved.stress[n]);
    store_affine(c, st.e, p.mass, saved.momentum[n].b, saved.momentum[n].A, l, quads);
  }
}

template <class T>
DIFFMPM_INLINE void add_properties(const StepArgs<T>& a, const Group<T>& g, int l,
                                   const ParticleAdjoint<Pack<T>>& adj) {
  if (!a.adj_properties) return;
  T* out = a.adj_properties + g.index * (a.rest_state ? kPropertyComponentsFp : kPropertyComponents) * kLanes + l;
  accumulate(out + kMass * kLanes, adj.mass), accumulate(out + kVolume * kLanes, adj.volume);
  accumulate(out + kLam * kLanes, adj.lam), accumulate(out + kMu * kLanes, adj.mu);
  if (a.rest_state)
    for (int k = 0; k < 9; ++k) accumulate(out + (kFpInv + k) * kLanes, adj.Fp_inv.m[k]);
}

template <class T>
DIFFMPM_INLINE ParticleAdjoint<Pack<T>> zero_adjoint() {
  using P = Pack<T>;
  const P o(T(0));
  return {o, o, o, o, o, Mat3<P>::zero(), Vec3<P>::zero(), Mat3<P>::zero(), Mat3<P>::zero()};
}

// Adjoint of (1)-(4) for one group, after the gather. Returns whether the polar adjoint is degenerate.
template <bool kRestState, class T, Basis B>
inline bool stress_group_vjp(const StepConstants<T>& c, const StepArgs<T>& a, const Group<T>& g,
                             const Stencil<T, B>& st, const AffineQuads<T>& moments, const GradientQuads<T>& gradient,
                             const GroupSaved<T>& saved, T* control_out, Pack<T>& keep_momentum) {
  using P = Pack<T>;
  T* out = a.adj + g.index * a.state_components * kLanes;
  P min_gap(T(1));
  for (int n = 0; n < kSubs<T>; ++n) {
    const int l = n * P::kWidth;
    const Particle<P> p = load_particle<kRestState>(a, g, l);
    ParticleAdjoint<P> adj = zero_adjoint<T>();
    Momentum<P> adj_q;
    adj.mass = load_moments(c, st.e, moments, l, adj_q.b, adj_q.A);
    adj.F = load_mat(out + l, kF);
    particle_momentum_vjp<kRestState>(c, p, saved.stress[n], adj_q, adj, min_gap);
    const Vec3<P> adj_x = add_offsets_vjp(load_gradient(c, gradient, l), saved.momentum[n].A, adj_q.b);
    store_vec(out + l, kX, load_vec(out + l, kX) + adj_x);
    store_vec(out + l, kV, adj.v);
    const Mat3<P> direct = load_mat(out + l, kC);
    store_mat(out + l, kC, adj.C);
    store_mat(out + l, kF, adj.F + direct);
    if (control_out) store_mat(control_out + l, 0, adj.F);
    add_properties(a, g, l, adj);
    keep_momentum += adj.keep_momentum;
  }
  return any(min_gap < P(kDegenerate<T>));
}

// Adjoint of the mass transfer alone.
template <class T, Basis B>
inline void mass_group_vjp(const StepConstants<T>& c, const StepArgs<T>& a, const Group<T>& g,
                           const AffineQuads<T>& moments, const GradientQuads<T>& gradient) {
  using P = Pack<T>;
  T* out = a.adj + g.index * a.state_components * kLanes;
  T* mass_out = a.adj_properties + g.index * kPropertyComponents * kLanes + kMass * kLanes;
  for (int l = 0; l < kLanes; l += P::kWidth) {
    P mass, unused[3];
    load_quads(moments.base.lane(l), mass, unused[0], unused[1], unused[2]);
    store_vec(out + l, kX, load_vec(out + l, kX) + load_gradient(c, gradient, l));
    accumulate(mass_out + l, mass);
  }
}

template <class T>
DIFFMPM_INLINE void write_control(const StepArgs<T>& a, const Group<T>& g, const T* control) {
  if (!a.adj_control) return;
  for (int l = 0; l < g.lanes; ++l) {
    T* out = a.adj_control + std::int64_t{g.ids[l]} * 9;
    for (int k = 0; k < 9; ++k) out[k] = control[k * kLanes + l];
  }
}

template <class T, Basis B>
inline void particles_to_tiles_vjp(const StepArgs<T>& a) {
  using P = Pack<T>;
  using Shape = TileShape<B>;
  const StepConstants<T> c = step_constants<T>(*a.params);
  for_blocks(a, [&](const ParticleBlock& block, std::int64_t b) {
    alignas(64) T tile[Shape::kSize];
    alignas(64) T control[9 * kLanes];
    load_tile<T, B>(a.grid_v, a.layout->neighbors[b], tile);
    Stencil<T, B> st;
    AffineQuads<T> quads, moments;
    GradientQuads<T> gradient;
    GroupSaved<T> saved;
    P keep(T(0));
    bool degenerate = false;
    for (int n = 0; n < block.group_count; ++n) {
      const Group<T> g(a, block, n);
      make_stencil(c, block.coord, g.state, st);
      if (a.mass_only) {
        mass_group(g, quads);
      } else if (a.rest_state) {
        restore_group<true>(c, a, g, st, quads, saved);
      } else {
        restore_group<false>(c, a, g, st, quads, saved);
      }
      clear_padding(moments, g.lanes), clear_padding(gradient, g.lanes);
      scatter_vjp(st, quads, g.lanes, tile, moments, gradient);
      if (a.mass_only) {
        mass_group_vjp<T, B>(c, a, g, moments, gradient);
        continue;
      }
      T* control_out = a.adj_control ? control : nullptr;
      degenerate |= a.rest_state ? stress_group_vjp<true>(c, a, g, st, moments, gradient, saved, control_out, keep)
                                 : stress_group_vjp<false>(c, a, g, st, moments, gradient, saved, control_out, keep);
      write_control(a, g, control);
    }
    if (a.mass_only) return;
    alignas(64) T lanes[P::kWidth];
    keep.store(lanes);
    double sum = 0;
    for (int l = 0; l < P::kWidth; ++l) sum += static_cast<double>(lanes[l]);
    a.adj_drag[b] -= static_cast<double>(c.dt) * sum;
    a.flags[b] = degenerate ? kFlagDegenerate : 0;
  });
}

DIFFMPM_END_ISA
