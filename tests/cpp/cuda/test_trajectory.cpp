// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/mpm/trajectory.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <initializer_list>
#include <limits>

#include "cuda/emulation.hpp"
#include "cuda/run_results.hpp"
#include "mpm/backend.cuh"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

template <class T>
using Emulated = Trajectory<cuda::DeviceBackend<T, EmulatedQueue>>;

}  // namespace

TEST_CASE_TEMPLATE("whole runs and their adjoints match the CPU", T, float, double) {
  const Scene<T> scene(400, 8);
  for (const Basis basis : {Basis::quadratic, Basis::cubic})
    for (const bool rest_state : {false, true}) {
      const MpmParams params = fast_params(basis);
      HostMemory memory;
      const RolloutInput<T> in = run_input(scene, rest_state, 0, memory);
      const auto cpu = cpu_rollout(params, in);
      int sorts = 0;
      Emulated<T> device(params, in, {params, EmulatedQueue(1, &sorts)});
      CHECK(device.stored_layers() == 9);
      CHECK(sorts >= 4);  // two per ordering; the run must have several
      CHECK(deviation(collect<T>(device, scene, rest_state, memory), collect<T>(*cpu, scene, rest_state, memory),
                      run_condition(params, 400, 8, rest_state)) < 1);
    }
}

TEST_CASE_TEMPLATE("the tolerance of runs covers contraction, but not a change of one mass by 0.1 %", T, float,
                   double) {
  // The CPU kernels contract multiplications and additions (except in the base instruction set), the emulated ones do not.
  // With hundreds of particles per cell, C is a difference of velocities a thousand times its size.
  Scene<T> scene(2500, 8);
  const MpmParams params = fast_params(Basis::quadratic);
  const RunCondition condition = run_condition(params, 2500, 8, true);
  HostMemory memory;
  const auto results = [&](auto&& roll) { return collect<T>(roll, scene, true, memory); };
  const RunResults<T> cpu = results(*cpu_rollout(params, run_input(scene, true, 0, memory)));
  const double contracted = deviation(
      results(Emulated<T>(params, run_input(scene, true, 0, memory), {params, EmulatedQueue()})), cpu, condition);
  CHECK(contracted < 1);
  CHECK(contracted > 0.05);  // the tolerance is not far above the deviation
  scene.mass[17] *= T(1.001);
  CHECK(deviation(results(*cpu_rollout(params, run_input(scene, true, 0, memory))), cpu, condition) > 1);
}

TEST_CASE("recomputed states and other thread orders give the same bits") {
  const Scene<double> scene(400, 8);
  const MpmParams params = fast_params(Basis::quadratic);
  HostMemory memory;
  Emulated<double> all(params, run_input(scene, true, 0, memory), {params, EmulatedQueue(1)});
  Emulated<double> few(params, run_input(scene, true, 1, memory), {params, EmulatedQueue(1000)});
  CHECK(few.stored_layers() < all.stored_layers());
  const RunResults<double> a = collect<double>(all, scene, true, memory), b = collect<double>(few, scene, true, memory);
  CHECK(a.arrays == b.arrays);
  CHECK(std::equal(a.gravity, a.gravity + 3, b.gravity));
  CHECK(a.drag == b.drag);
}

TEST_CASE("the error names the particle that stops a run, as on the CPU") {
  const MpmParams params = scene_params(Basis::cubic);
  const auto cause_of = [&](const Scene<float>& scene, std::int64_t particle, std::int64_t step) {
    try {
      Emulated<float> roll(params, scene.input(), {params, EmulatedQueue()});
    } catch (const StepError& error) {
      CHECK(error.particle == particle);
      CHECK(error.step == step);
      return error.cause;
    }
    FAIL("expected a StepError");
    return Cause::degenerate;
  };
  Scene<float> scene;
  scene.x[3 * 7 + 1] = 100.0f;
  CHECK(cause_of(scene, 7, 0) == Cause::left_grid);
  scene.x[3 * 7 + 1] = std::numeric_limits<float>::quiet_NaN();
  CHECK(cause_of(scene, 7, 0) == Cause::not_finite);
  scene = Scene<float>();
  scene.control[(2 * 500 + 9) * 9] = -50.0f;
  CHECK(cause_of(scene, 9, 2) == Cause::inverted);
  scene.control[(2 * 500 + 9) * 9] = std::numeric_limits<float>::infinity();
  CHECK(cause_of(scene, 9, 2) == Cause::not_finite);
}
