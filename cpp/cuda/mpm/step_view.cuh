// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/math/mat3.hpp"
#include "diffmpm/mpm/blocks.hpp"
#include "diffmpm/mpm/constants.hpp"
#include "diffmpm/mpm/p2g.hpp"

// Arguments of the passes of a step, as StepArgs on the CPU, and access to the particle of a thread.

namespace diffmpm::cuda {

// Order of the particles and blocks of the sparse grid, as in cpp/src/mpm/layout.hpp. The particles of a block are divided among
// chunks of whole groups; a chunk has one thread block and one tile.
struct Chunk {
  ParticleBlock particles;
  Index block;
};

struct LayoutView {
  const Index* ids;         // particle of each lane; ~particle for padding
  const Chunk* chunks;      // chunk_count
  const GridBlock* grid;    // grid_count
  const Index* neighbors;   // (particle block, direction): grid block
  const Index* sources;     // (grid block, direction): particle block, or -1
  const Index* chunk_ends;  // (particle block): its last chunk + 1
  Index chunk_count, grid_count;
};

// One tile and one value of adj_drag per chunk; three values of adj_gravity per pair of grid blocks.
template <class T>
struct StepView : StepFields<T> {
  StepConstants<T> c;
  LayoutView layout;
  int* flags;       // of this step: one word, whose bits any block may set
  const int* stop;  // flags of the previous step, or zero; where one is set, this step does nothing
};

// First component of the m-th particle of a block in groups of `components`; the others follow at strides of kLanes.
template <class T>
DIFFMPM_HD T* lane_of(T* groups, const ParticleBlock& block, int m, int components) {
  return groups + (std::int64_t{block.first_group} + m / kLanes) * components * kLanes + m % kLanes;
}

template <class T>
DIFFMPM_HD Vec3<T> load_vec(const T* lane, int component) {
  Vec3<T> r;
  for (int n = 0; n < 3; ++n) r[n] = lane[(component + n) * kLanes];
  return r;
}
template <class T>
DIFFMPM_HD Mat3<T> load_mat(const T* lane, int component) {
  Mat3<T> r;
  for (int n = 0; n < 9; ++n) r.m[n] = lane[(component + n) * kLanes];
  return r;
}
template <class T>
DIFFMPM_HD void store_vec(T* lane, int component, const Vec3<T>& a) {
  for (int n = 0; n < 3; ++n) lane[(component + n) * kLanes] = a[n];
}
template <class T>
DIFFMPM_HD void store_mat(T* lane, int component, const Mat3<T>& a) {
  for (int n = 0; n < 9; ++n) lane[(component + n) * kLanes] = a.m[n];
}

template <class T>
DIFFMPM_HD int property_components(const StepView<T>& a) {
  return a.rest_state ? kPropertyComponentsFp : kPropertyComponents;
}

// Row of the m-th particle of a block in the caller's order.
template <class T>
DIFFMPM_HD std::int64_t row_of(const StepView<T>& a, const ParticleBlock& block, int m) {
  return std::int64_t{a.layout.ids[std::int64_t{block.first_group} * kLanes + m]};
}

template <class T>
DIFFMPM_HD Mat3<T> controlled(const StepView<T>& a, const ParticleBlock& block, int m, const Mat3<T>& F) {
  if (!a.control) return F;
  const T* row = a.control + 9 * row_of(a, block, m);
  Mat3<T> control;
  for (int k = 0; k < 9; ++k) control.m[k] = row[k];
  return apply_control(F, control);
}

template <class T>
DIFFMPM_HD Particle<T> load_particle(const StepView<T>& a, const ParticleBlock& block, int m) {
  const T* state = lane_of(a.state, block, m, a.state_components);
  const T* properties = lane_of(a.properties, block, m, property_components(a));
  Particle<T> p;
  p.mass = properties[kMass * kLanes], p.volume = properties[kVolume * kLanes];
  p.lam = properties[kLam * kLanes], p.mu = properties[kMu * kLanes];
  if (a.rest_state) p.Fp_inv = load_mat(properties, kFpInv);
  p.v = load_vec(state, kV), p.C = load_mat(state, kC);
  p.F = controlled(a, block, m, load_mat(state, kF));
  return p;
}

}  // namespace diffmpm::cuda
