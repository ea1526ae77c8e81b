// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "diffmpm/core/device.hpp"
#include "diffmpm/core/random.hpp"
#include "diffmpm/core/threads.hpp"
#include "mpm/scene.hpp"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

template <class T>
std::vector<T> end_positions(const MpmParams& params, const Scene<T>& scene, std::size_t memory_budget = 0) {
  const auto roll = cpu_rollout(params, scene.input(memory_budget));
  std::vector<T> x(scene.size(3));
  roll->state(scene.steps, x.data(), nullptr, nullptr, nullptr, nullptr);
  return x;
}

double sum_of_squares(const std::vector<double>& x) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  return sum;
}

// Gradient of sum |x|^2 at the end with respect to the control.
std::vector<double> control_gradient(const MpmParams& params, const Scene<double>& scene, std::size_t memory_budget) {
  const auto roll = cpu_rollout(params, scene.input(memory_budget));
  std::vector<double> x(scene.size(3)), out(scene.control.size());
  roll->state(scene.steps, x.data(), nullptr, nullptr, nullptr, nullptr);
  for (double& value : x) value *= 2;
  StateAdjoint<double> adjoint;
  adjoint.layer = scene.steps, adjoint.x = x.data();
  RolloutGradients<double> gradients;
  gradients.control = out.data();
  roll->vjp({adjoint}, gradients);
  return out;
}

}  // namespace

TEST_CASE("the gradient with respect to the control matches a central difference along a random direction") {
  const Scene<double> scene;
  for (const Basis basis : {Basis::quadratic, Basis::cubic}) {
    const MpmParams params = scene_params(basis);
    const std::vector<double> gradient = control_gradient(params, scene, 0);
    constexpr double h = 1e-5;  // error of the central difference: near 1e-9
    Scene<double> high = scene, low = scene;
    double analytic = 0;
    for (std::size_t n = 0; n < gradient.size(); ++n) {
      const double direction = 2 * random_uniform(5, n, 9) - 1;
      high.control[n] += h * direction, low.control[n] -= h * direction;
      analytic += gradient[n] * direction;
    }
    const double numeric =
        (sum_of_squares(end_positions(params, high)) - sum_of_squares(end_positions(params, low))) / (2 * h);
    CHECK(analytic == doctest::Approx(numeric).epsilon(1e-6));
  }
}

TEST_CASE("recomputed states give the same gradient, bit for bit") {
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

TEST_CASE("the error names a particle outside of the grid") {
  Scene<float> scene;
  scene.x[3 * 7 + 1] = 100.0f;
  try {
    cpu_rollout(scene_params(Basis::cubic), scene.input());
    FAIL("expected a StepError");
  } catch (const StepError& error) {
    CHECK(error.cause == Cause::left_grid);
    CHECK(error.particle == 7);
    CHECK(error.step == 0);
  }
}

TEST_CASE("a build without CUDA refuses a device") {
  if (cuda::compiled()) return;
  CHECK_THROWS_WITH_AS(backend<float>(Context{0}), doctest::Contains("CUDA: not in this build"), cuda::DeviceError);
}
