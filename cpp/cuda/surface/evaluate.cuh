// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>

#include "core/search.cuh"
#include "core/sums.cuh"
#include "diffmpm/surface/evaluate.hpp"

// Evaluation of a surface with one thread per sample, and its adjoint with one thread per component of the adjoint of a particle.

namespace diffmpm::cuda {

template <class T>
struct EvaluateSample {
  std::int64_t count;  // samples
  surface::BindingView<T> binding;
  const T *x, *F;
  T sigma0;
  surface::GaussianArrays<T> out;

  DIFFMPM_HD void operator()(std::int64_t g) const { evaluate_sample(binding, x, F, sigma0, out, g); }
};

// Contribution of a sample to the adjoint of sigma0; writes the adjoints of its parents.
template <class T>
struct SampleAdjoint {
  surface::BindingView<T> binding;
  const T *x, *F;
  T sigma0;
  surface::GaussianArrays<const T> adj;
  surface::ParentAdjoint<T>* adj_parents;

  DIFFMPM_HD double operator()(std::int64_t g) const {
    return static_cast<double>(evaluate_sample_vjp(binding, x, F, sigma0, adj, g, adj_parents + g * binding.parents));
  }
};

template <class T>
struct SumChildren {
  std::int64_t count;  // particles times components
  surface::BindingView<T> binding;
  const surface::ParentAdjoint<T>* adj_parents;
  T *adj_x, *adj_F;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    using surface::kParentComponents;
    surface::sum_children<1>(binding, n / kParentComponents, static_cast<int>(n % kParentComponents), adj_parents,
                             adj_x, adj_F);
  }
};

struct ParentKeys {
  std::int64_t count;  // slots
  const std::int32_t* parent;
  std::uint64_t* keys;
  Index* slots;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    keys[n] = static_cast<std::uint64_t>(parent[n]), slots[n] = static_cast<Index>(n);
  }
};

struct ChildStarts {
  std::int64_t count;  // particles, and the end of the last one
  const std::uint64_t* keys;
  Index slots;
  Index* start;

  DIFFMPM_HD void operator()(std::int64_t p) const {
    start[p] = lower_bound(keys, slots, static_cast<std::uint64_t>(p));
  }
};

template <class Queue>
void find_children_on(Queue& queue, std::int64_t particles, std::int64_t slots, const std::int32_t* parent,
                      std::int32_t* start, std::int32_t* child) {
  const auto keys = queue.template allocate<std::uint64_t>(slots);
  queue.for_all(ParentKeys{slots, parent, keys.data(), child});
  if (slots > 0) queue.sort_pairs(keys.data(), child, slots, std::bit_width(static_cast<std::uint64_t>(particles)));
  queue.for_all(ChildStarts{particles + 1, keys.data(), static_cast<Index>(slots), start});
}

template <class T, class Queue>
void evaluate_on(Queue& queue, const surface::BindingView<T>& binding, const T* x, const T* F, T sigma0,
                 const surface::GaussianArrays<T>& out) {
  queue.for_all(EvaluateSample<T>{binding.samples, binding, x, F, sigma0, out});
}

template <class T, class Queue>
void evaluate_vjp_on(Queue& queue, const surface::BindingView<T>& bound, const T* x, const T* F, T sigma0,
                     const surface::GaussianArrays<const T>& adj, T* adj_x, T* adj_F, double* adj_sigma0) {
  surface::BindingView<T> binding = bound;
  const std::int64_t slots = binding.samples * binding.parents, blocks = (binding.samples + kThreads - 1) / kThreads;
  Buffer<Index> start, child;
  if (!binding.child) {
    start = queue.template allocate<Index>(binding.particles + 1), child = queue.template allocate<Index>(slots);
    find_children_on(queue, binding.particles, slots, binding.parent, start.data(), child.data());
    binding.child_start = start.data(), binding.child = child.data();
  }
  const auto adj_parents = queue.template allocate<surface::ParentAdjoint<T>>(slots);
  const auto sums = queue.template allocate<double>(blocks);
  const SampleAdjoint<T> sample{binding, x, F, sigma0, adj, adj_parents.data()};
  queue.template launch<SumTerms<SampleAdjoint<T>>>(blocks, {binding.samples, kThreads, sample, sums.data()});
  queue.for_all(
      SumChildren<T>{binding.particles * surface::kParentComponents, binding, adj_parents.data(), adj_x, adj_F});
  if (adj_sigma0) queue.template launch<SumTerms<StoredTerm<double>>>(1, {blocks, blocks, {sums.data()}, adj_sigma0});
}

}  // namespace diffmpm::cuda
