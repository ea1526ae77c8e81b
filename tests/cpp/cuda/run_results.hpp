// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <list>
#include <utility>
#include <vector>

#include "mpm/scene.hpp"

// Runs a simulation and its adjoint on a backend, and compares two runs. `Memory` holds the arrays of the backend.

namespace diffmpm::testing {

class HostMemory {
 public:
  template <class T>
  const T* upload(const std::vector<T>& values) {
    return values.data();
  }
  template <class T>
  T* allocate(std::size_t count) {
    return static_cast<T*>(static_cast<void*>(kept_.emplace_back(count * sizeof(T)).data()));
  }
  template <class T>
  std::vector<T> download(const T* values, std::size_t count) {
    return {values, values + count};
  }

 private:
  std::list<std::vector<unsigned char>> kept_;
};

// Position of the derivative in v among the arrays below.
inline constexpr std::size_t kAdjointOfV = 8;

// States, and gradients for cotangents of the end state and of earlier states.
template <class T>
struct RunResults {
  std::vector<std::vector<T>> arrays;
  double gravity[3], drag;
};

// Fast enough for several orderings in eight steps.
inline MpmParams fast_params(Basis basis) {
  MpmParams p = scene_params(basis);
  p.dt = 0.03, p.gravity[2] = -30;
  return p;
}

// Input of a run with all options; uploads the arrays.
template <class T, class Memory>
RolloutInput<T> run_input(const Scene<T>& scene, bool rest_state, std::size_t budget, Memory& memory) {
  RolloutInput<T> in = scene.input(budget);
  in.motion_gradient = true, in.control_stride = 2;
  in.x = memory.upload(scene.x), in.v = memory.upload(scene.v), in.C = memory.upload(scene.C);
  in.F = memory.upload(scene.F), in.Fp = rest_state ? memory.upload(scene.Fp) : nullptr;
  in.mass = memory.upload(scene.mass), in.volume = memory.upload(scene.volume);
  in.lam = memory.upload(scene.lam), in.mu = memory.upload(scene.mu), in.control = memory.upload(scene.control);
  return in;
}

template <class T, class Roll, class Memory>
RunResults<T> collect(Roll& roll, const Scene<T>& scene, bool rest_state, Memory& memory) {
  std::vector<std::pair<T*, std::size_t>> made;
  const auto array = [&](std::int64_t width) {
    made.emplace_back(memory.template allocate<T>(scene.size(width)), scene.size(width));
    return made.back().first;
  };
  roll.state(scene.steps, array(3), array(3), array(9), array(9), array(9));
  roll.state(scene.steps / 2, array(3), nullptr, nullptr, array(9), nullptr);
  StateAdjoint<T> end, middle;
  end.layer = scene.steps, end.x = memory.upload(scene.v), end.v = memory.upload(scene.x);
  end.C = memory.upload(scene.F), end.F = end.G = memory.upload(scene.C);
  middle.layer = scene.steps / 2, middle.x = end.x, middle.F = end.F;
  RolloutGradients<T> g;
  g.x = array(3), g.v = array(3), g.C = array(9), g.F = array(9), g.G = array(9);
  g.mass = array(1), g.volume = array(1), g.lam = array(1), g.mu = array(1);
  g.control = array(9 * scene.steps);
  if (rest_state) g.Fp = array(9);
  roll.vjp({end, middle}, g);
  RunResults<T> r;
  for (const auto& [values, count] : made) r.arrays.push_back(memory.download(values, count));
  std::copy(g.gravity, g.gravity + 3, r.gravity);
  r.drag = g.drag;
  return r;
}

template <class A, class B>
double largest_difference(const std::vector<A>& a, const std::vector<B>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    const double difference = std::abs(double(a[k]) - double(b[k]));
    if (!(difference <= worst)) worst = difference;  // NaN stays
  }
  return worst;
}

// Rounding error of each array of a run, in units of eps: the largest difference between CPU runs in float and double from the
// same inputs, divided by the float eps. This is the condition of the run: for C, in which velocities cancel, it reaches 20,000
// times the largest value.
struct RunCondition {
  std::vector<double> arrays;
  double sums;  // of the derivatives by gravity and drag, relative to their values
};

inline RunCondition run_condition(const MpmParams& params, std::int64_t count, std::int64_t steps, bool rest_state) {
  const Scene<float> scene(count, steps);
  const Scene<double> same(scene);
  HostMemory memory;
  const auto rounded = cpu_rollout(params, run_input(scene, rest_state, 0, memory));
  const auto exact = cpu_rollout(params, run_input(same, rest_state, 0, memory));
  const RunResults<float> r = collect<float>(*rounded, scene, rest_state, memory);
  const RunResults<double> e = collect<double>(*exact, same, rest_state, memory);
  RunCondition out;
  for (std::size_t n = 0; n < e.arrays.size(); ++n)
    out.arrays.push_back(largest_difference(r.arrays[n], e.arrays[n]) / std::numeric_limits<float>::epsilon());
  // Sums of velocity derivatives over particles and steps: their relative error is not larger than that of the terms.
  const std::vector<double> zeros(e.arrays[kAdjointOfV].size());
  out.sums = out.arrays[kAdjointOfV] / largest_difference(e.arrays[kAdjointOfV], zeros);
  return out;
}

// Two correct runs may round differently, through contraction or another summation order, and each deviates from the exact run
// by the condition: a factor of 2 for two runs, and 2 for the spread of the largest error. In 560 arrays of CPU runs with and
// without contraction none differs by half of it.
inline constexpr double kRunTolerance = 4;

// The largest deviation as a multiple of the tolerance: above 1 if the runs differ.
template <class T>
double deviation(const RunResults<T>& result, const RunResults<T>& expected, const RunCondition& condition) {
  REQUIRE(result.arrays.size() == expected.arrays.size());
  REQUIRE(result.arrays.size() == condition.arrays.size());
  constexpr double kAllowed = kRunTolerance * std::numeric_limits<T>::epsilon();
  double worst = 0;
  const auto add = [&](double difference, double allowed) {
    const double multiple = difference > 0 ? difference / allowed : difference;
    if (!(multiple <= worst)) worst = multiple;
  };
  for (std::size_t n = 0; n < result.arrays.size(); ++n)
    add(largest_difference(result.arrays[n], expected.arrays[n]), kAllowed * condition.arrays[n]);
  for (int r = 0; r < 3; ++r)
    add(std::abs(result.gravity[r] - expected.gravity[r]), kAllowed * condition.sums * std::abs(expected.gravity[r]));
  add(std::abs(result.drag - expected.drag), kAllowed * condition.sums * std::abs(expected.drag));
  return worst;
}

}  // namespace diffmpm::testing
