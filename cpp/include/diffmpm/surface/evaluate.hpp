// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/core/macros.hpp"
#include "diffmpm/surface/interpolate.hpp"
#include "diffmpm/surface/surface.hpp"

// One sample in the arrays of a binding and its adjoint, called by the drivers for each sample.

namespace diffmpm::surface {

// Rows of arrays as vectors and matrices.
template <class T>
DIFFMPM_HD const Vec3<T>* vectors(const T* rows) {
  return reinterpret_cast<const Vec3<T>*>(rows);
}
template <class T>
DIFFMPM_HD const Mat3<T>* matrices(const T* rows) {
  return reinterpret_cast<const Mat3<T>*>(rows);
}

template <class T>
DIFFMPM_HD SampleRest<T> sample_rest(const BindingView<T>& b, std::int64_t g) {
  return {b.parents, vectors(b.offset) + g * b.parents, b.support[g], matrices(b.axes)[g], vectors(b.normal)[g]};
}
template <class T>
DIFFMPM_HD SampleParents<T> sample_parents(const BindingView<T>& b, const T* x, const T* F, std::int64_t g) {
  return {b.parent + g * b.parents, vectors(x), matrices(F)};
}

template <class T>
DIFFMPM_HD void evaluate_sample(const BindingView<T>& b, const T* x, const T* F, const T& sigma0,
                                const GaussianArrays<T>& out, std::int64_t g) {
  SampleState<T> state;
  SampleSaved<T> saved;
  state.w = out.weights + g * b.parents;
  interpolate(sample_rest(b, g), sample_parents(b, x, F, g), sigma0, state, saved);
  for (int r = 0; r < 3; ++r) out.means[3 * g + r] = state.mean[r];
  for (int n = 0; n < 9; ++n) out.covars[9 * g + n] = state.covar.m[n];
  for (int r = 0; r < 3; ++r) out.normals[3 * g + r] = state.normal[r];
}

// Writes the adjoint of each parent of the sample and returns that of sigma0.
template <class T>
DIFFMPM_HD T evaluate_sample_vjp(const BindingView<T>& b, const T* x, const T* F, const T& sigma0,
                                 const GaussianArrays<const T>& adj, std::int64_t g, ParentAdjoint<T>* adj_parents) {
  const SampleRest<T> rest = sample_rest(b, g);
  const SampleParents<T> parents = sample_parents(b, x, F, g);
  T w[kMaxParents], adj_w[kMaxParents], adj_sigma0(0);
  SampleState<T> state, adj_state;
  SampleSaved<T> saved;
  state.w = w, adj_state.w = adj_w;
  interpolate(rest, parents, sigma0, state, saved);
  adj_state.mean = adj.means ? vectors(adj.means)[g] : Vec3<T>::zero();
  adj_state.covar = adj.covars ? matrices(adj.covars)[g] : Mat3<T>::zero();
  adj_state.normal = adj.normals ? vectors(adj.normals)[g] : Vec3<T>::zero();
  for (int k = 0; k < b.parents; ++k) adj_w[k] = adj.weights ? adj.weights[g * b.parents + k] : T(0);
  interpolate_vjp(rest, parents, sigma0, state, saved, adj_state, adj_parents, adj_sigma0);
  return adj_sigma0;
}

// Writes kCount components from `first` on, of the twelve of adj_x and adj_F of a particle: sums over its children, in order.
template <int kCount, class T>
DIFFMPM_HD void sum_children(const BindingView<T>& b, std::int64_t p, int first, const ParentAdjoint<T>* adj_parents,
                             T* adj_x, T* adj_F) {
  T sum[kCount] = {};
  for (std::int64_t at = b.child_start[p]; at < b.child_start[p + 1]; ++at) {
    const T* adj = reinterpret_cast<const T*>(adj_parents + b.child[at]) + first;
    for (int n = 0; n < kCount; ++n) sum[n] += adj[n];
  }
  for (int n = 0; n < kCount; ++n) (first + n < 3 ? adj_x[3 * p + first + n] : adj_F[9 * p + first + n - 3]) = sum[n];
}

}  // namespace diffmpm::surface
