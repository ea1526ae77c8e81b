// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "group_access.hpp"

// Forward passes (1)-(9).

DIFFMPM_BEGIN_ISA

// (1)-(3) for one group: affine momentum of every lane. Returns whether F~ is inverted or the momentum is not finite.
template <bool kRestState, class T, Basis B>
inline bool stress_group(const StepConstants<T>& c, const StepArgs<T>& a, const Group<T>& g, const Stencil<T, B>& st,
                         AffineQuads<T>& quads) {
  using P = Pack<T>;
  P bad(T(0));
  for (int l = 0; l < kLanes; l += P::kWidth) {
    const Particle<P> p = load_particle<kRestState>(a, g, l);
    StressSaved<P> saved;
    const Momentum<P> q = particle_momentum<kRestState>(c, p, saved);
    check_momentum(p, q, bad);
    store_affine(c, st.e, p.mass, q.b, q.A, l, quads);
  }
  return any_lane(bad);
}

template <class T>
inline void mass_group(const Group<T>& g, AffineQuads<T>& quads) {
  std::memset(&quads, 0, sizeof(quads));
  for (int l = 0; l < g.lanes; ++l) quads.base.lane(l)[0] = g.properties[kMass * kLanes + l];
}

template <class T, Basis B>
inline void particles_to_tiles(const StepArgs<T>& a) {
  using Shape = TileShape<B>;
  const StepConstants<T> c = step_constants<T>(*a.params);
  for_blocks(a, [&](const ParticleBlock& block, std::int64_t b) {
    T* tile = a.tiles + b * Shape::kSize;
    std::memset(tile, 0, sizeof(T) * static_cast<std::size_t>(Shape::kSize));
    Stencil<T, B> st;
    AffineQuads<T> quads;
    bool bad = false;
    for (int n = 0; n < block.group_count; ++n) {
      const Group<T> g(a, block, n);
      make_stencil(c, block.coord, g.state, st);
      if (a.mass_only) {
        mass_group(g, quads);
      } else {
        bad |= a.rest_state ? stress_group<true>(c, a, g, st, quads) : stress_group<false>(c, a, g, st, quads);
      }
      scatter(st, quads, g.lanes, tile);
    }
    a.flags[b] = bad ? kFlagInvalidMomentum : 0;
  });
}

template <class T, class Body>
DIFFMPM_INLINE void for_nodes(const GridBlock& block, const Body& body) {
  for (int n = 0; n < kBlockNodes; ++n) {
    const NodeIndex node(block, n);
    body(node.at, n * kChannels);
  }
}

// (5) for one block: mass and momentum to velocity.
template <class T>
inline void update_block(const StepConstants<T>& c, const GridBlock& block, const T* mq, T* v) {
  for_nodes<T>(block, [&](const Index(&node)[3], int at) {
    const Vec3<T> q = {{mq[at + 1], mq[at + 2], mq[at + 3]}};
    const Vec3<T> u = grid_update(c, node, mq[at], q);
    v[at] = T(0);
    for (int r = 0; r < 3; ++r) v[at + 1 + r] = u[r];
  });
}

template <class T, Basis B>
inline void tiles_to_grid(const StepArgs<T>& a) {
  const StepConstants<T> c = step_constants<T>(*a.params);
  const std::int64_t count = static_cast<std::int64_t>(a.layout->grid.size());
  parallel_for(count, 4, a.threads, [&](std::int64_t n) {
    const auto i = static_cast<std::size_t>(n);
    T* mq = a.grid_mq + n * kGridBlockSize;
    sum_tiles<T, B>(a.tiles, a.layout->sources[i], mq);
    if (a.grid_v) update_block(c, a.layout->grid[i], mq, a.grid_v + n * kGridBlockSize);
  });
}

template <class T, Basis B>
inline void grid_velocity(const StepArgs<T>& a) {
  const StepConstants<T> c = step_constants<T>(*a.params);
  const std::int64_t count = static_cast<std::int64_t>(a.layout->grid.size());
  parallel_for(count, 4, a.threads, [&](std::int64_t n) {
    update_block(c, a.layout->grid[n], a.grid_mq + n * kGridBlockSize, a.grid_v + n * kGridBlockSize);
  });
}

// Checks of a new state; one in a lane that fails.
template <class T>
struct StateCheck {
  Pack<T> bad{T(0)}, unsorted{T(0)};
};

// (6)-(9) for one group.
template <class T, Basis B>
inline void advance_group(const StepConstants<T>& c, const StepArgs<T>& a, const ParticleBlock& block,
                          const Group<T>& g, const Stencil<T, B>& st, const AffineQuads<T>& moments,
                          StateCheck<T>& check) {
  using P = Pack<T>;
  T* out = a.next + g.index * a.state_components * kLanes;
  for (int l = 0; l < kLanes; l += P::kWidth) {
    Vec3<P> v;
    Mat3<P> M;
    load_moments(c, st.e, moments, l, v, M);
    const Advanced<P> to = advance(c, v, M, load_vec(g.state + l, kX), load_mat(g.state + l, kF), controlled(a, g, l));
    store_vec(out + l, kX, to.x), store_vec(out + l, kV, to.v);
    store_mat(out + l, kC, to.C), store_mat(out + l, kF, to.F);
    P extra(T(0));
    if (a.state_components == kStateComponentsG) {
      const Mat3<P> G = carry_motion(to.E, load_mat(g.state + l, kG));
      store_mat(out + l, kG, G);
      extra = contract(G, G);
    }
    check_advanced(to, extra, check.bad);
    check_position<B>(c, block.coord, to.x, check.bad, check.unsorted);
  }
}

template <class T, Basis B>
inline void grid_to_particles(const StepArgs<T>& a) {
  using Shape = TileShape<B>;
  const StepConstants<T> c = step_constants<T>(*a.params);
  for_blocks(a, [&](const ParticleBlock& block, std::int64_t b) {
    alignas(64) T tile[Shape::kSize];
    load_tile<T, B>(a.grid_v, a.layout->neighbors[b], tile);
    Stencil<T, B> st;
    AffineQuads<T> moments;
    StateCheck<T> check;
    for (int n = 0; n < block.group_count; ++n) {
      const Group<T> g(a, block, n);
      make_stencil(c, block.coord, g.state, st);
      clear_padding(moments, g.lanes);
      gather(st, tile, g.lanes, moments);
      advance_group(c, a, block, g, st, moments, check);
    }
    if (any_lane(check.bad)) a.flags[b] |= kFlagInvalidState;
    if (any_lane(check.unsorted)) a.flags[b] |= kFlagUnsorted;
  });
}

DIFFMPM_END_ISA
