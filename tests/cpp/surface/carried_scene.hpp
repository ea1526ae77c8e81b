// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "diffmpm/core/random.hpp"
#include "diffmpm/surface/surface.hpp"

// Random samples, particles and cotangents. Some samples have a parent twice, and some particles have no samples.

namespace diffmpm::testing {

inline double signed_number(std::uint64_t counter, std::uint64_t stream) {
  return 2 * random_uniform(11, counter, stream) - 1;
}

template <class T>
std::vector<T> numbers(std::int64_t count, std::uint64_t stream, double size = 1) {
  std::vector<T> out;
  for (std::int64_t n = 0; n < count; ++n)
    out.push_back(static_cast<T>(size * signed_number(static_cast<std::uint64_t>(n), stream)));
  return out;
}

template <class T>
std::vector<T> near_identities(std::int64_t count, std::uint64_t stream) {
  std::vector<T> out = numbers<T>(9 * count, stream, 0.3);
  for (std::size_t n = 0; n < out.size(); n += 9) out[n] += T(1), out[n + 4] += T(1), out[n + 8] += T(1);
  return out;
}

// Arrays of Gaussians.
template <class T>
struct GaussianValues {
  std::vector<T> means, covars, normals, weights;

  GaussianValues(std::int64_t samples, int parents)
      : means(numbers<T>(3 * samples, 20)),
        covars(numbers<T>(9 * samples, 21)),
        normals(numbers<T>(3 * samples, 22)),
        weights(numbers<T>(samples * parents, 23)) {}
  surface::GaussianArrays<T> arrays() { return {means.data(), covars.data(), normals.data(), weights.data()}; }
  surface::GaussianArrays<const T> constants() const {
    return {means.data(), covars.data(), normals.data(), weights.data()};
  }
};

template <class T>
struct CarriedScene {
  std::int64_t samples, particles;
  int parents;
  std::vector<std::int32_t> parent;
  std::vector<T> offset, support, axes, normal, x, F;
  GaussianValues<T> adj;  // need not be symmetric
  T sigma0 = T(0.7);

  CarriedScene(std::int64_t m, std::int64_t n, int k)
      : samples(m),
        particles(n),
        parents(k),
        offset(numbers<T>(3 * m * k, 1, 0.4)),
        axes(near_identities<T>(m, 2)),
        normal(numbers<T>(3 * m, 3)),
        x(numbers<T>(3 * n, 4, 0.6)),
        F(near_identities<T>(n, 5)),
        adj(m, k) {
    // Every fourth particle has no samples; the first 16 have many more than the others.
    for (std::int64_t s = 0; s < m * k; ++s) {
      const auto counter = static_cast<std::uint64_t>(s);
      const std::uint64_t among = static_cast<std::uint64_t>(s % 3 == 0 && n > 16 ? 16 : n);
      const std::uint64_t p = random_bits(12, counter, 0) % among;
      parent.push_back(static_cast<std::int32_t>(p % 4 == 3 ? p - 1 : p));
    }
    for (std::int64_t g = 0; g < m; ++g) {
      const auto at = static_cast<std::size_t>(g);
      support.push_back(static_cast<T>(1.2 + 0.4 * signed_number(at, 6)));  // some parents are outside of the support
      if (g % 5 == 0 && k > 1) parent[at * static_cast<std::size_t>(k) + 1] = parent[at * static_cast<std::size_t>(k)];
    }
  }

  surface::BindingView<T> view() const {
    surface::BindingView<T> b;
    b.samples = samples, b.particles = particles, b.parents = parents, b.parent = parent.data();
    b.offset = offset.data(), b.support = support.data(), b.axes = axes.data(), b.normal = normal.data();
    return b;
  }
};

}  // namespace diffmpm::testing
