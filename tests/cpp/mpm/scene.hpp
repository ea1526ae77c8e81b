// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "diffmpm/backend.hpp"
#include "diffmpm/core/random.hpp"
#include "mpm/step_example.hpp"

namespace diffmpm::testing {

// A moving blob with random controls; arrays of the caller.
template <class T>
struct Scene {
  std::int64_t count, steps;
  std::vector<T> x, v, C, F, Fp, mass, volume, lam, mu, control;

  explicit Scene(std::int64_t particles = 500, std::int64_t step_count = 5)
      : count(particles),
        steps(step_count),
        mass(size(1), T(0.2)),
        volume(size(1), T(0.01)),
        lam(size(1), T(7)),
        mu(size(1), T(5)) {
    fill(x, 3, 0, 1.0, 3.0), fill(v, 3, 1, 0.5, 0.0), fill(C, 9, 2, 0.2, 0.0), fill(F, 9, 3, 0.1, 0.0);
    fill(control, 9 * steps, 4, 0.02, 0.0), fill(Fp, 9, 5, 0.05, 0.0);
    for (std::size_t n = 0; n < F.size(); ++n) F[n] += T(n % 9 % 4 == 0), Fp[n] += T(n % 9 % 4 == 0);
  }
  // The same values in another precision.
  template <class S>
  explicit Scene(const Scene<S>& other) : count(other.count), steps(other.steps) {
    const auto assign = [](std::vector<T>& to, const std::vector<S>& from) { to.assign(from.begin(), from.end()); };
    assign(x, other.x), assign(v, other.v), assign(C, other.C), assign(F, other.F), assign(Fp, other.Fp);
    assign(mass, other.mass), assign(volume, other.volume), assign(lam, other.lam), assign(mu, other.mu);
    assign(control, other.control);
  }
  std::size_t size(std::int64_t width) const { return static_cast<std::size_t>(width * count); }
  void fill(std::vector<T>& out, std::int64_t width, std::uint64_t stream, double half, double middle) const {
    for (std::size_t n = 0; n < size(width); ++n)
      out.push_back(T(middle + half * (2 * random_uniform(3, n, stream) - 1)));
  }
  // The rest state is the identity unless it is set.
  RolloutInput<T> input(std::size_t memory_budget = 0) const {
    RolloutInput<T> in;
    in.count = count, in.steps = steps, in.control_steps = steps, in.memory_budget = memory_budget;
    in.x = x.data(), in.v = v.data(), in.C = C.data(), in.F = F.data(), in.control = control.data();
    in.mass = mass.data(), in.volume = volume.data(), in.lam = lam.data(), in.mu = mu.data();
    return in;
  }
};

inline MpmParams scene_params(Basis basis) {
  MpmParams p = example_params();
  p.dt = 0.01, p.basis = basis;
  return p;
}

// A run on the CPU.
template <class T>
std::unique_ptr<Rollout<T>> cpu_rollout(const MpmParams& params, const RolloutInput<T>& input) {
  return backend<T>({}).mpm.rollout({}, params, input);
}

}  // namespace diffmpm::testing
