// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <cstring>

#include "diffmpm/core/memory.hpp"
#include "diffmpm/core/threads.hpp"
#include "diffmpm/surface/interpolate.hpp"
#include "diffmpm/surface/surface.hpp"

namespace diffmpm::surface {
namespace {

constexpr std::int64_t kChunk = 1024;    // samples whose share of adj_sigma0 is summed in one go
constexpr std::int64_t kPerParent = 12;  // adjoint of one parent: x and F

template <class T>
Vec3<T> load3(const T* from) {
  return {{from[0], from[1], from[2]}};
}
template <class T>
Mat3<T> load9(const T* from) {
  Mat3<T> m;
  std::copy(from, from + 9, m.m);
  return m;
}

template <class T>
void gather(const BindingView<T>& b, const T* x, const T* F, std::int64_t g, SampleRest<T>& rest,
            SampleParents<T>& parents) {
  rest.count = b.parents;
  rest.support = b.support[g];
  rest.axes = load9(b.axes + 9 * g);
  rest.normal = load3(b.normal + 3 * g);
  for (int k = 0; k < b.parents; ++k) {
    const std::int64_t slot = g * b.parents + k, p = b.parent[slot];
    rest.r[k] = load3(b.offset + 3 * slot);
    parents.x[k] = load3(x + 3 * p);
    parents.F[k] = load9(F + 9 * p);
  }
}

template <class T>
SampleState<T> cotangent(const GaussianArrays<const T>& adj, std::int64_t g, int parents) {
  SampleState<T> a;
  a.mean = adj.means ? load3(adj.means + 3 * g) : Vec3<T>::zero();
  a.cov = adj.covs ? load9(adj.covs + 9 * g) : Mat3<T>::zero();
  a.normal = adj.normals ? load3(adj.normals + 3 * g) : Vec3<T>::zero();
  for (int k = 0; k < parents; ++k) a.w[k] = adj.weights ? adj.weights[g * parents + k] : T(0);
  return a;
}

// Slots (sample, parent) of each particle, in order of the samples: where its adjoint is gathered from.
struct Children {
  std::vector<std::int64_t> start;
  std::vector<std::int32_t> slot;
};

template <class T>
Children children(const BindingView<T>& b) {
  Children c;
  const std::int64_t slots = b.samples * b.parents;
  c.start.assign(static_cast<std::size_t>(b.particles) + 1, 0);
  c.slot.resize(static_cast<std::size_t>(slots));
  for (std::int64_t s = 0; s < slots; ++s) ++c.start[static_cast<std::size_t>(b.parent[s]) + 1];
  for (std::size_t p = 0; p < static_cast<std::size_t>(b.particles); ++p) c.start[p + 1] += c.start[p];
  std::vector<std::int64_t> next(c.start.begin(), c.start.end() - 1);
  for (std::int64_t s = 0; s < slots; ++s)
    c.slot[static_cast<std::size_t>(next[static_cast<std::size_t>(b.parent[s])]++)] = static_cast<std::int32_t>(s);
  return c;
}

}  // namespace

template <class T>
void evaluate(const BindingView<T>& b, const T* x, const T* F, T sigma0, const GaussianArrays<T>& out) {
#pragma omp parallel for schedule(static) num_threads(thread_count())
  for (std::int64_t g = 0; g < b.samples; ++g) {
    SampleRest<T> rest;
    SampleParents<T> parents;
    SampleState<T> state;
    SampleSaved<T> saved;
    gather(b, x, F, g, rest, parents);
    interpolate(rest, parents, sigma0, state, saved);
    std::copy(state.mean.c, state.mean.c + 3, out.means + 3 * g);
    std::copy(state.cov.m, state.cov.m + 9, out.covs + 9 * g);
    std::copy(state.normal.c, state.normal.c + 3, out.normals + 3 * g);
    std::copy(state.w, state.w + b.parents, out.weights + g * b.parents);
  }
}

template <class T>
double evaluate_vjp(const BindingView<T>& b, const T* x, const T* F, T sigma0, const GaussianArrays<const T>& adj,
                    T* adj_x, T* adj_F) {
  const std::int64_t chunks = (b.samples + kChunk - 1) / kChunk;
  std::vector<double> partial(static_cast<std::size_t>(chunks), 0.0);
  const Buffer<T> scattered(static_cast<std::size_t>(b.samples * b.parents * kPerParent));
#pragma omp parallel for schedule(static) num_threads(thread_count())
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    double sum = 0;
    for (std::int64_t g = chunk * kChunk; g < std::min(b.samples, (chunk + 1) * kChunk); ++g) {
      SampleRest<T> rest;
      SampleParents<T> parents, adj_parents;
      SampleState<T> state;
      SampleSaved<T> saved;
      gather(b, x, F, g, rest, parents);
      interpolate(rest, parents, sigma0, state, saved);
      SampleState<T> adj_state = cotangent(adj, g, b.parents);
      for (int k = 0; k < b.parents; ++k) adj_parents.x[k] = Vec3<T>::zero(), adj_parents.F[k] = Mat3<T>::zero();
      T adj_sigma0(0);
      interpolate_vjp(rest, parents, sigma0, state, saved, adj_state, adj_parents, adj_sigma0);
      sum += static_cast<double>(adj_sigma0);
      T* to = scattered.data() + g * b.parents * kPerParent;
      for (int k = 0; k < b.parents; ++k, to += kPerParent) {
        std::copy(adj_parents.x[k].c, adj_parents.x[k].c + 3, to);
        std::copy(adj_parents.F[k].m, adj_parents.F[k].m + 9, to + 3);
      }
    }
    partial[static_cast<std::size_t>(chunk)] = sum;
  }
  const Children c = children(b);
#pragma omp parallel for schedule(static) num_threads(thread_count())
  for (std::int64_t p = 0; p < b.particles; ++p) {
    T sum[kPerParent] = {};
    for (std::int64_t n = c.start[static_cast<std::size_t>(p)]; n < c.start[static_cast<std::size_t>(p) + 1]; ++n) {
      const T* from = scattered.data() + kPerParent * static_cast<std::int64_t>(c.slot[static_cast<std::size_t>(n)]);
      for (int m = 0; m < kPerParent; ++m) sum[m] += from[m];
    }
    std::copy(sum, sum + 3, adj_x + 3 * p);
    std::copy(sum + 3, sum + kPerParent, adj_F + 9 * p);
  }
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
