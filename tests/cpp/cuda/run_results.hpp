// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <list>
#include <utility>
#include <vector>

#include "mpm/scene.hpp"

// A whole run and its adjoint on some backend, and the comparison of two. `Memory` is where the backend's arrays are.

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

// All that a run gives: states, and the gradients for cotangents at the end and on the way.
template <class T>
struct RunResults {
  std::vector<std::vector<T>> arrays;
  double gravity[3], drag;
};

// Fast enough for several orders of the particles in eight steps.
inline MpmParams fast_params(Basis basis) {
  MpmParams p = scene_params(basis);
  p.dt = 0.03, p.gravity[2] = -30;
  return p;
}

// The scene as a run with everything in it; the arrays are uploaded.
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

// Most of it in C, a difference of velocities over the cell: measured 1.4e-13 and 9e-5 of the largest value, times 4.
template <class T>
constexpr double kRunTolerance = sizeof(T) == 8 ? 6e-13 : 4e-4;

template <class T>
void compare(const RunResults<T>& given, const RunResults<T>& expected, double tolerance) {
  REQUIRE(given.arrays.size() == expected.arrays.size());
  for (std::size_t n = 0; n < given.arrays.size(); ++n) {
    double worst = 0, scale = 0;
    for (std::size_t k = 0; k < given.arrays[n].size(); ++k) {
      const double difference = std::abs(double(given.arrays[n][k]) - double(expected.arrays[n][k]));
      if (!(difference <= worst)) worst = difference;
      scale = std::max(scale, std::abs(double(expected.arrays[n][k])));
    }
    CAPTURE(n);
    CHECK(worst < tolerance * scale);
  }
  for (int r = 0; r < 3; ++r) CHECK(given.gravity[r] == doctest::Approx(expected.gravity[r]).epsilon(tolerance));
  CHECK(given.drag == doctest::Approx(expected.drag).epsilon(tolerance));
}

}  // namespace diffmpm::testing
