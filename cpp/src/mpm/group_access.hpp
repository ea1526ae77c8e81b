// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstring>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/mpm/g2p.hpp"
#include "diffmpm/mpm/grid_update.hpp"
#include "diffmpm/mpm/p2g.hpp"
#include "kernels.hpp"
#include "transfer.hpp"

// Loads and stores of the passes over particle blocks and grid blocks.

DIFFMPM_BEGIN_ISA

template <class T>
inline constexpr int kSubs = kLanes / Pack<T>::kWidth;  // packs per group

template <class T>
DIFFMPM_INLINE Vec3<Pack<T>> load_vec(const T* group, int component) {
  Vec3<Pack<T>> r;
  for (int n = 0; n < 3; ++n) r[n] = Pack<T>::load(group + (component + n) * kLanes);
  return r;
}
template <class T>
DIFFMPM_INLINE Mat3<Pack<T>> load_mat(const T* group, int component) {
  Mat3<Pack<T>> r;
  for (int n = 0; n < 9; ++n) r.m[n] = Pack<T>::load(group + (component + n) * kLanes);
  return r;
}
template <class T>
DIFFMPM_INLINE void store_vec(T* group, int component, const Vec3<Pack<T>>& a) {
  for (int n = 0; n < 3; ++n) a[n].store(group + (component + n) * kLanes);
}
template <class T>
DIFFMPM_INLINE void store_mat(T* group, int component, const Mat3<Pack<T>>& a) {
  for (int n = 0; n < 9; ++n) a.m[n].store(group + (component + n) * kLanes);
}
template <class T>
DIFFMPM_INLINE void accumulate(T* at, Pack<T> a) {
  (Pack<T>::load(at) + a).store(at);
}

// Loads the components of a group into the cache. A trajectory is larger than any cache, and the groups of a block follow each other.
template <class T>
DIFFMPM_INLINE void prefetch_group(const T* group, int components) {
#if defined(__GNUC__)
  for (int k = 0; k < components; ++k) __builtin_prefetch(group + k * kLanes);
#endif
}

// The data of a group.
template <class T>
struct Group {
  const T* state;
  const T* properties;
  const std::int32_t* ids;
  std::int64_t index;
  int lanes;              // particles; the rest is padding
  T control[9 * kLanes];  // zero without control

  Group(const StepArgs<T>& a, const ParticleBlock& block, int n) {
    index = std::int64_t{block.first_group} + n;
    state = a.state + index * a.state_components * kLanes;
    if (n + 1 < block.group_count) prefetch_group(state + a.state_components * kLanes, a.state_components);
    properties = a.properties + index * (a.rest_state ? kPropertyComponentsFp : kPropertyComponents) * kLanes;
    ids = a.layout->ids.data() + index * kLanes;
    const int left = block.particle_count - n * kLanes;
    lanes = left < kLanes ? left : kLanes;
    if (!a.control) return;
    if (lanes < kLanes) std::memset(control, 0, sizeof(control));
    for (int l = 0; l < lanes; ++l) {
      const T* in = a.control + std::int64_t{ids[l]} * 9;
      for (int k = 0; k < 9; ++k) control[k * kLanes + l] = in[k];
    }
  }
};

template <class T>
DIFFMPM_INLINE Mat3<Pack<T>> controlled(const StepArgs<T>& a, const Group<T>& g, int l) {
  const Mat3<Pack<T>> F = load_mat(g.state + l, kF);
  return a.control ? apply_control(F, load_mat(g.control + l, 0)) : F;
}

template <bool kRestState, class T>
DIFFMPM_INLINE Particle<Pack<T>> load_particle(const StepArgs<T>& a, const Group<T>& g, int l) {
  Particle<Pack<T>> p;
  p.mass = Pack<T>::load(g.properties + kMass * kLanes + l);
  p.volume = Pack<T>::load(g.properties + kVolume * kLanes + l);
  p.lam = Pack<T>::load(g.properties + kLam * kLanes + l);
  p.mu = Pack<T>::load(g.properties + kMu * kLanes + l);
  if constexpr (kRestState) p.Fp_inv = load_mat(g.properties + l, kFpInv);
  p.v = load_vec(g.state + l, kV);
  p.C = load_mat(g.state + l, kC);
  p.F = controlled(a, g, l);
  return p;
}

template <class T>
DIFFMPM_INLINE Vec3<Pack<T>> load_offset(const T (&e)[3][kLanes], int l) {
  return {{Pack<T>::load(e[0] + l), Pack<T>::load(e[1] + l), Pack<T>::load(e[2] + l)}};
}

// Mass and the affine values of b + A d at a stencil's nodes, channel by channel.
template <class T>
DIFFMPM_INLINE void store_affine(const StepConstants<T>& c, const T (&e)[3][kLanes], Pack<T> mass,
                                 const Vec3<Pack<T>>& b, const Mat3<Pack<T>>& A, int l, AffineQuads<T>& out) {
  using P = Pack<T>;
  Vec3<P> base;
  Mat3<P> D;
  affine_at_center(c, load_offset(e, l), b, A, base, D);
  const P zero(T(0));
  store_quads(out.base.lane(l), mass, base[0], base[1], base[2]);
  store_quads(out.X.lane(l), zero, D(0, 0), D(1, 0), D(2, 0));
  store_quads(out.Y.lane(l), zero, D(0, 1), D(1, 1), D(2, 1));
  store_quads(out.Z.lane(l), zero, D(0, 2), D(1, 2), D(2, 2));
}

// sum = sum w g and M = sum w g d^T from the moments of a gather. Returns the sum of the mass channel.
template <class T>
DIFFMPM_INLINE Pack<T> load_moments(const StepConstants<T>& c, const T (&e)[3][kLanes], const AffineQuads<T>& in, int l,
                                    Vec3<Pack<T>>& sum, Mat3<Pack<T>>& M) {
  using P = Pack<T>;
  P mass, unused;
  load_quads(in.base.lane(l), mass, sum[0], sum[1], sum[2]);
  load_quads(in.X.lane(l), unused, M(0, 0), M(1, 0), M(2, 0));
  load_quads(in.Y.lane(l), unused, M(0, 1), M(1, 1), M(2, 1));
  load_quads(in.Z.lane(l), unused, M(0, 2), M(1, 2), M(2, 2));
  M = moments_at_particle(c, load_offset(e, l), sum, M);
  return mass;
}

template <class T>
DIFFMPM_INLINE Vec3<Pack<T>> load_gradient(const StepConstants<T>& c, const GradientQuads<T>& in, int l) {
  using P = Pack<T>;
  Vec3<P> g;
  for (int r = 0; r < 3; ++r) {
    P q[4];
    load_quads(in.axis[r].lane(l), q[0], q[1], q[2], q[3]);
    g[r] = P(c.inv_dx) * ((q[0] + q[1]) + (q[2] + q[3]));
  }
  return g;
}

// Results of lanes without a particle are zero.
template <class T>
DIFFMPM_INLINE void clear_padding(Quads<T>& quads, int lanes) {
  if (lanes < kLanes)
    std::memset(quads.lane(lanes), 0, sizeof(T) * static_cast<std::size_t>(kChannels * (kLanes - lanes)));
}
template <class T>
DIFFMPM_INLINE void clear_padding(AffineQuads<T>& quads, int lanes) {
  clear_padding(quads.base, lanes), clear_padding(quads.X, lanes);
  clear_padding(quads.Y, lanes), clear_padding(quads.Z, lanes);
}
template <class T>
DIFFMPM_INLINE void clear_padding(GradientQuads<T>& quads, int lanes) {
  for (int r = 0; r < 3; ++r) clear_padding(quads.axis[r], lanes);
}

// Calls body(block, index) for each particle block.
template <class T, class Body>
inline void for_blocks(const StepArgs<T>& a, const Body& body) {
  const auto& blocks = a.layout->blocks;
  const std::int64_t count = static_cast<std::int64_t>(blocks.size());
  parallel_for(count, 1, a.threads, [&](std::int64_t b) { body(blocks[b], b); });
}

template <class T>
DIFFMPM_INLINE bool any_lane(const Pack<T>& bad) {
  return any(bad > Pack<T>(T(0)));
}

DIFFMPM_END_ISA
