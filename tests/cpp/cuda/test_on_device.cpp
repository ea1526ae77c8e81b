// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "cuda/run_results.hpp"
#include "diffmpm/core/device.hpp"
#include "diffmpm/losses/losses.hpp"

// The backend on a device, beside the CPU. Where there is none these tests say so and pass.

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

class DeviceMemory {
 public:
  template <class T>
  const T* upload(const std::vector<T>& values) {
    T* memory = allocate<T>(values.size());
    REQUIRE(cudaMemcpy(memory, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
    return memory;
  }
  template <class T>
  T* allocate(std::size_t count) {
    void* memory = nullptr;
    REQUIRE(cudaMalloc(&memory, count * sizeof(T)) == cudaSuccess);
    kept_.emplace_back(memory, &cudaFree);
    return static_cast<T*>(memory);
  }
  template <class T>
  std::vector<T> download(const T* values, std::size_t count) {
    std::vector<T> out(count);
    REQUIRE(cudaMemcpy(out.data(), values, count * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return out;
  }

 private:
  std::vector<std::unique_ptr<void, cudaError_t (*)(void*)>> kept_;
};

bool no_device() {
  if (cuda::device_count() > 0) return false;
  MESSAGE("skipped: " << std::string(cuda::status()));
  return true;
}

template <class T>
void compare_runs(const MpmParams& params, std::int64_t count) {
  const Scene<T> scene(count, 8);
  for (const bool rest_state : {false, true}) {
    HostMemory host;
    DeviceMemory device;
    Rollout<T> expected(params, run_input(scene, rest_state, 0, host));
    Rollout<T> given = cuda::rollout(params, run_input(scene, rest_state, 0, device), nullptr);
    compare(collect<T>(given, scene, rest_state, device), collect<T>(expected, scene, rest_state, host),
            kRunTolerance<T>);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("a device gives what the CPU gives", T, float, double) {
  if (no_device()) return;
  for (const Basis basis : {Basis::quadratic, Basis::cubic})
    for (const Material material : {Material::fixed_corotated, Material::neo_hookean}) {
      MpmParams params = fast_params(basis);
      params.material = material;
      compare_runs<T>(params, 400);
      compare_runs<T>(params, 20000);
    }
}

TEST_CASE("a device gives the same bits in every run, also where layers are recomputed") {
  if (no_device()) return;
  const Scene<float> scene(20000, 8);
  const MpmParams params = fast_params(Basis::quadratic);
  const auto results = [&](std::size_t budget) {
    DeviceMemory memory;
    Rollout<float> roll = cuda::rollout(params, run_input(scene, true, budget, memory), nullptr);
    return collect<float>(roll, scene, true, memory);
  };
  const RunResults<float> first = results(0);
  for (const std::size_t budget : {0, 1}) {
    const RunResults<float> again = results(budget);
    CHECK(again.arrays == first.arrays);
    CHECK(std::equal(again.gravity, again.gravity + 3, first.gravity));
    CHECK(again.drag == first.drag);
  }
}

TEST_CASE_TEMPLATE("a device's losses are those of the CPU", T, float, double) {
  if (no_device()) return;
  const Scene<T> scene(3000);
  const MpmParams params = scene_params(Basis::cubic);
  const std::size_t nodes = 12 * 12 * 12;
  DeviceMemory memory;
  std::vector<T> mass(nodes), target(nodes, T(0.1)), adj(nodes);
  grid_mass(params, scene.count, scene.x.data(), scene.mass.data(), mass.data());
  const double expected = loss_grid_mass(MassLoss::log, nodes, mass.data(), target.data(), T(1), T(1), adj.data());
  T *m = memory.allocate<T>(nodes), *adj_m = memory.allocate<T>(nodes);
  cuda::grid_mass(params, scene.count, memory.upload(scene.x), memory.upload(scene.mass), m, nullptr);
  const double value = cuda::loss_grid_mass(MassLoss::log, nodes, m, memory.upload(target), T(1), T(1), adj_m, nullptr);
  CHECK(value == doctest::Approx(expected).epsilon(sizeof(T) == 8 ? 1e-12 : 1e-5));
  const std::vector<T> given = memory.download(adj_m, nodes);
  for (std::size_t n = 0; n < nodes; ++n)
    CHECK(given[n] == doctest::Approx(adj[n]).epsilon(sizeof(T) == 8 ? 1e-11 : 1e-4).scale(1));
}

TEST_CASE("a particle outside of the grid is named by a device too") {
  if (no_device()) return;
  Scene<float> scene(500, 8);
  scene.x[3 * 7 + 1] = 100.0f;
  DeviceMemory memory;
  CHECK_THROWS_WITH_AS(cuda::rollout(scene_params(Basis::cubic), run_input(scene, false, 0, memory), nullptr),
                       "particle 7 left the grid in step 0", StepError);
}
