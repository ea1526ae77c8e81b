// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "diffmpm/core/random.hpp"
#include "diffmpm/core/threads.hpp"
#include "diffmpm/mpm/rollout.hpp"
#include "mpm/step_example.hpp"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

constexpr std::int64_t kCount = 500, kSteps = 5;

// A moving blob with random controls; arrays of the caller.
template <class T>
struct Scene {
  std::vector<T> x, v, C, F, mass, volume, lam, mu, control;

  Scene() : mass(kCount, T(0.2)), volume(kCount, T(0.01)), lam(kCount, T(7)), mu(kCount, T(5)) {
    fill(x, 3, 0, 1.0, 3.0), fill(v, 3, 1, 0.5, 0.0), fill(C, 9, 2, 0.2, 0.0), fill(F, 9, 3, 0.1, 0.0);
    fill(control, 9 * kSteps, 4, 0.02, 0.0);
    for (std::size_t n = 0; n < F.size(); ++n) F[n] += T(n % 9 % 4 == 0 ? 1 : 0);
  }
  static void fill(std::vector<T>& out, std::int64_t width, std::uint64_t stream, double half, double middle) {
    for (std::int64_t n = 0; n < width * kCount; ++n)
      out.push_back(T(middle + half * (2 * random_uniform(3, static_cast<std::uint64_t>(n), stream) - 1)));
  }
  RolloutInput<T> input(std::size_t memory_budget = 0) const {
    RolloutInput<T> in;
    in.count = kCount, in.steps = kSteps, in.control_layers = kSteps, in.memory_budget = memory_budget;
    in.x = x.data(), in.v = v.data(), in.C = C.data(), in.F = F.data(), in.control = control.data();
    in.mass = mass.data(), in.volume = volume.data(), in.lam = lam.data(), in.mu = mu.data();
    return in;
  }
};

MpmParams scene_params(Basis basis) {
  MpmParams p = example_params();
  p.dt = 0.01, p.basis = basis;
  return p;
}

template <class T>
std::vector<T> end_positions(const MpmParams& params, const Scene<T>& scene, std::size_t memory_budget = 0) {
  Rollout<T> roll(params, scene.input(memory_budget));
  std::vector<T> x(3 * kCount);
  roll.state(kSteps, x.data(), nullptr, nullptr, nullptr, nullptr);
  return x;
}

double sum_of_squares(const std::vector<double>& x) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  return sum;
}

// Gradient of sum |x|^2 at the end with respect to the control.
std::vector<double> control_gradient(const MpmParams& params, const Scene<double>& scene, std::size_t memory_budget) {
  Rollout<double> roll(params, scene.input(memory_budget));
  std::vector<double> x(3 * kCount), out(scene.control.size());
  roll.state(kSteps, x.data(), nullptr, nullptr, nullptr, nullptr);
  for (double& value : x) value *= 2;
  StateAdjoint<double> adjoint;
  adjoint.layer = kSteps, adjoint.x = x.data();
  RolloutGradients<double> gradients;
  gradients.control = out.data();
  roll.vjp({adjoint}, gradients);
  return out;
}

}  // namespace

TEST_CASE("the gradient of the control matches a central difference along a random direction") {
  const Scene<double> scene;
  for (const Basis basis : {Basis::quadratic, Basis::cubic}) {
    const MpmParams params = scene_params(basis);
    const std::vector<double> gradient = control_gradient(params, scene, 0);
    constexpr double h = 1e-5;  // error of the central difference: near 1e-9
    Scene<double> high = scene, low = scene;
    double given = 0;
    for (std::size_t n = 0; n < gradient.size(); ++n) {
      const double direction = 2 * random_uniform(5, n, 9) - 1;
      high.control[n] += h * direction, low.control[n] -= h * direction;
      given += gradient[n] * direction;
    }
    const double numeric =
        (sum_of_squares(end_positions(params, high)) - sum_of_squares(end_positions(params, low))) / (2 * h);
    CHECK(given == doctest::Approx(numeric).epsilon(1e-6));
  }
}

TEST_CASE("recomputed layers give the same gradient, bit for bit") {
  const Scene<double> scene;
  const MpmParams params = scene_params(Basis::cubic);
  CHECK(control_gradient(params, scene, 0) == control_gradient(params, scene, 1));
}

TEST_CASE("the number of threads does not change a bit, in either precision") {
  for (const Basis basis : {Basis::quadratic, Basis::cubic}) {
    const MpmParams params = scene_params(basis);
    diffmpm::set_thread_count(1);
    const std::vector<float> single = end_positions(params, Scene<float>());
    const std::vector<double> gradient = control_gradient(params, Scene<double>(), 0);
    for (const int threads : {2, 3}) {
      diffmpm::set_thread_count(threads);
      CHECK(end_positions(params, Scene<float>()) == single);
      CHECK(control_gradient(params, Scene<double>(), 0) == gradient);
    }
    diffmpm::set_thread_count(0);
  }
}

TEST_CASE("a particle outside of the grid is named") {
  Scene<float> scene;
  scene.x[3 * 7 + 1] = 100.0f;
  try {
    Rollout<float> roll(scene_params(Basis::cubic), scene.input());
    FAIL("expected a StepError");
  } catch (const StepError& error) {
    CHECK(error.cause == Cause::left_grid);
    CHECK(error.particle == 7);
    CHECK(error.step == 0);
  }
}
