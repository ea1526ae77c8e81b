// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/surface/evaluate.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "diffmpm/core/memory.hpp"
#include "diffmpm/core/parallel.hpp"

namespace diffmpm::surface {
namespace {

constexpr std::int64_t kChunk = 1024;  // samples per partial sum of adj_sigma0
constexpr std::int64_t kRun = 256;     // samples that a thread evaluates at a time

// Not inlined and with copies of all pointers, which the compiler would otherwise load again for each sample.
template <class T>
DIFFMPM_NOINLINE void evaluate_run(BindingView<T> b, const T* x, const T* F, T sigma0, GaussianArrays<T> out,
                                   std::int64_t first, std::int64_t last) {
  for (std::int64_t g = first; g < last; ++g) evaluate_sample(b, x, F, sigma0, out, g);
}

void find_children(const Context&, std::int64_t particles, std::int64_t slots, const std::int32_t* parent,
                   std::int32_t* start, std::int32_t* child) {
  std::fill(start, start + particles + 1, 0);
  for (std::int64_t s = 0; s < slots; ++s) ++start[parent[s] + 1];
  for (std::int64_t p = 0; p < particles; ++p) start[p + 1] += start[p];
  std::vector<std::int32_t> next(start, start + particles);
  for (std::int64_t s = 0; s < slots; ++s) child[next[parent[s]]++] = static_cast<std::int32_t>(s);
}

template <class T>
void evaluate(const Context&, const BindingView<T>& binding, const T* x, const T* F, T sigma0,
              const GaussianArrays<T>& out) {
  const Buffer<std::int32_t> parents =
      checked_parents(binding.samples, binding.parents, binding.particles, binding.parent);
  BindingView<T> b = binding;
  b.parent = parents.data();
  parallel_for((b.samples + kRun - 1) / kRun, 1, [&](std::int64_t run) {
    evaluate_run(b, x, F, sigma0, out, run * kRun, std::min(b.samples, (run + 1) * kRun));
  });
}

template <class T>
void evaluate_vjp(const Context& context, const BindingView<T>& binding, const T* x, const T* F, T sigma0,
                  const GaussianArrays<const T>& adj, T* adj_x, T* adj_F, double* adj_sigma0) {
  const Buffer<std::int32_t> parents =
      checked_parents(binding.samples, binding.parents, binding.particles, binding.parent);
  BindingView<T> b = binding;
  b.parent = parents.data();
  const std::int64_t slots = b.samples * b.parents, chunks = (b.samples + kChunk - 1) / kChunk;
  std::vector<double> partial(chunks, 0.0);
  const Buffer<ParentAdjoint<T>> adj_parents(slots);
  parallel_for(chunks, 1, [&](std::int64_t chunk) {
    double sum = 0;
    for (std::int64_t g = chunk * kChunk; g < std::min(b.samples, (chunk + 1) * kChunk); ++g)
      sum += static_cast<double>(evaluate_sample_vjp(b, x, F, sigma0, adj, g, adj_parents.data() + g * b.parents));
    partial[chunk] = sum;
  });
  std::vector<std::int32_t> start, child;
  if (!b.child) {
    start.resize(b.particles + 1), child.resize(slots);
    find_children(context, b.particles, slots, b.parent, start.data(), child.data());
    b.child_start = start.data(), b.child = child.data();
  }
  parallel_for(b.particles, 256,
               [&](std::int64_t p) { sum_children<kParentComponents>(b, p, 0, adj_parents.data(), adj_x, adj_F); });
  if (!adj_sigma0) return;
  *adj_sigma0 = 0;
  for (const double part : partial) *adj_sigma0 += part;
}

}  // namespace

Buffer<std::int32_t> checked_parents(std::int64_t samples, int parents, std::int64_t particles,
                                     const std::int32_t* parent) {
  if (parents < 1 || parents > kMaxParents)
    throw std::invalid_argument("parents: expected from 1 to " + std::to_string(kMaxParents) + " per sample, got " +
                                std::to_string(parents));
  const std::int64_t slots = samples * parents;
  const auto end = static_cast<std::uint32_t>(particles - 1);
  const Buffer<std::int32_t> copy(slots);
  parallel_for((slots + kChunk - 1) / kChunk, 16, [&](std::int64_t chunk) {
    const std::int64_t first = chunk * kChunk, last = std::min(slots, first + kChunk);
    std::int32_t* const out = copy.data();
    std::uint32_t outside = 0;  // the highest bit is set if an index is negative or too large
    for (std::int64_t s = first; s < last; ++s) {
      const std::int32_t p = parent[s];
      out[s] = p;
      outside |= static_cast<std::uint32_t>(p) | (end - static_cast<std::uint32_t>(p));
    }
    if (outside >> 31 == 0) return;
    const std::int32_t* bad =
        std::find_if(out + first, out + last, [&](std::int32_t p) { return p < 0 || p >= particles; });
    throw std::invalid_argument("parents: expected indices from 0 to " + std::to_string(particles - 1) + ", got " +
                                std::to_string(*bad) + "; bind the samples to this body");
  });
  return copy;
}

template <class T>
const SurfaceFunctions<T>& SurfaceFunctions<T>::host() {
  static constexpr SurfaceFunctions kTable{surface::find_children, surface::evaluate<T>, surface::evaluate_vjp<T>};
  return kTable;
}

template const SurfaceFunctions<float>& SurfaceFunctions<float>::host();
template const SurfaceFunctions<double>& SurfaceFunctions<double>::host();

}  // namespace diffmpm::surface
