// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/surface/evaluate.hpp"

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "diffmpm/core/memory.hpp"
#include "diffmpm/core/threads.hpp"

namespace diffmpm::surface {
namespace {

constexpr std::int64_t kChunk = 1024;  // samples whose share of adj_sigma0 is summed in one go

}  // namespace

void check_parents(std::int64_t particles, std::int64_t slots, const std::int32_t* parent) {
  std::int32_t low = 0, high = 0;
#pragma omp parallel for schedule(static) num_threads(thread_count()) reduction(min : low) reduction(max : high)
  for (std::int64_t s = 0; s < slots; ++s) low = std::min(low, parent[s]), high = std::max(high, parent[s]);
  if (slots > 0 && (low < 0 || high >= particles))
    throw std::invalid_argument("parents: expected indices from 0 to " + std::to_string(particles - 1) + ", got " +
                                std::to_string(low < 0 ? low : high) + "; bind the samples to this body");
}

void find_children(std::int64_t particles, std::int64_t slots, const std::int32_t* parent, std::int32_t* start,
                   std::int32_t* child) {
  std::fill(start, start + particles + 1, 0);
  for (std::int64_t s = 0; s < slots; ++s) ++start[parent[s] + 1];
  for (std::int64_t p = 0; p < particles; ++p) start[p + 1] += start[p];
  std::vector<std::int32_t> next(start, start + particles);
  for (std::int64_t s = 0; s < slots; ++s)
    child[next[static_cast<std::size_t>(parent[s])]++] = static_cast<std::int32_t>(s);
}

template <class T>
void evaluate(const BindingView<T>& b, const T* x, const T* F, T sigma0, const GaussianArrays<T>& out) {
  check_parents(b.particles, b.samples * b.parents, b.parent);
#pragma omp parallel for schedule(static) num_threads(thread_count())
  for (std::int64_t g = 0; g < b.samples; ++g) evaluate_sample(b, x, F, sigma0, out, g);
}

template <class T>
double evaluate_vjp(const BindingView<T>& binding, const T* x, const T* F, T sigma0, const GaussianArrays<const T>& adj,
                    T* adj_x, T* adj_F) {
  BindingView<T> b = binding;
  const std::int64_t slots = b.samples * b.parents, chunks = (b.samples + kChunk - 1) / kChunk;
  check_parents(b.particles, slots, b.parent);
  std::vector<double> partial(static_cast<std::size_t>(chunks), 0.0);
  const Buffer<ParentAdjoint<T>> adj_parents(static_cast<std::size_t>(slots));
#pragma omp parallel for schedule(static) num_threads(thread_count())
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    double sum = 0;
    for (std::int64_t g = chunk * kChunk; g < std::min(b.samples, (chunk + 1) * kChunk); ++g)
      sum += static_cast<double>(evaluate_sample_vjp(b, x, F, sigma0, adj, g, adj_parents.data() + g * b.parents));
    partial[static_cast<std::size_t>(chunk)] = sum;
  }
  std::vector<std::int32_t> start, child;
  if (!b.child) {
    start.resize(static_cast<std::size_t>(b.particles) + 1), child.resize(static_cast<std::size_t>(slots));
    find_children(b.particles, slots, b.parent, start.data(), child.data());
    b.child_start = start.data(), b.child = child.data();
  }
#pragma omp parallel for schedule(static) num_threads(thread_count())
  for (std::int64_t p = 0; p < b.particles; ++p)
    sum_children<kParentComponents>(b, p, 0, adj_parents.data(), adj_x, adj_F);
  double adj_sigma0 = 0;
  for (double part : partial) adj_sigma0 += part;
  return adj_sigma0;
}

template void evaluate<float>(const BindingView<float>&, const float*, const float*, float,
                              const GaussianArrays<float>&);
template void evaluate<double>(const BindingView<double>&, const double*, const double*, double,
                               const GaussianArrays<double>&);
template double evaluate_vjp<float>(const BindingView<float>&, const float*, const float*, float,
                                    const GaussianArrays<const float>&, float*, float*);
template double evaluate_vjp<double>(const BindingView<double>&, const double*, const double*, double,
                                     const GaussianArrays<const double>&, double*, double*);

}  // namespace diffmpm::surface
