// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <thread>
#include <vector>

#include "cuda/device_memory.hpp"
#include "cuda/run_results.hpp"
#include "diffmpm/core/device.hpp"
#include "surface/carried_scene.hpp"

// The backend on a GPU, compared with the CPU. Without a GPU these tests print a message and pass.

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

template <class T>
void compare_runs(const MpmParams& params, std::int64_t count) {
  const Scene<T> scene(count, 8);
  for (const bool rest_state : {false, true}) {
    HostMemory host;
    DeviceMemory device;
    const auto expected = cpu_rollout(params, run_input(scene, rest_state, 0, host));
    const auto result = device_rollout(params, run_input(scene, rest_state, 0, device));
    CHECK(deviation(collect<T>(*result, scene, rest_state, device), collect<T>(*expected, scene, rest_state, host),
                    run_condition(params, count, 8, rest_state)) < 1);
  }
}

// A stream that does not wait for the default one.
class Stream {
 public:
  Stream() { REQUIRE(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking) == cudaSuccess); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { static_cast<void>(cudaStreamDestroy(stream_)); }
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

void set_graphs(const char* value) {
#if defined(_WIN32)
  _putenv_s("DIFFMPM_CUDA_GRAPHS", value);
#else
  setenv("DIFFMPM_CUDA_GRAPHS", value, 1);
#endif
}

template <class T>
void same_bits(const RunResults<T>& a, const RunResults<T>& b) {
  CHECK(a.arrays == b.arrays);
  CHECK(std::equal(a.gravity, a.gravity + 3, b.gravity));
  CHECK(a.drag == b.drag);
}

}  // namespace

TEST_CASE_TEMPLATE("runs on a GPU match the CPU", T, float, double) {
  if (no_device()) return;
  for (const Basis basis : {Basis::quadratic, Basis::cubic})
    for (const Material material : {Material::fixed_corotated, Material::neo_hookean}) {
      MpmParams params = fast_params(basis);
      params.material = material;
      compare_runs<T>(params, 400);
      compare_runs<T>(params, 20000);
    }
}

TEST_CASE("runs on a GPU are bitwise reproducible, also with recomputed states") {
  if (no_device()) return;
  const Scene<float> scene(20000, 8);
  const MpmParams params = fast_params(Basis::quadratic);
  const auto results = [&](std::size_t budget) {
    DeviceMemory memory;
    const auto roll = device_rollout(params, run_input(scene, true, budget, memory));
    return collect<float>(*roll, scene, true, memory);
  };
  const RunResults<float> first = results(0);
  for (const std::size_t budget : {0, 1}) {
    same_bits(results(budget), first);
  }
}

TEST_CASE("kernel graphs give the bits of single launches on every type of stream") {
  if (no_device()) return;
  const Scene<float> scene(3000, 90);  // batches of several lengths, some of which stop
  MpmParams params = fast_params(Basis::quadratic);
  params.dt = 0.005;
  const auto results = [&](cudaStream_t stream) {
    DeviceMemory memory;
    const auto roll = device_rollout(params, run_input(scene, true, 0, memory), stream);
    return collect<float>(*roll, scene, true, memory);
  };
  set_graphs("0");
  const RunResults<float> one_by_one = results(nullptr);
  set_graphs("1");
  const Stream own;
  for (const cudaStream_t stream : {cudaStream_t{nullptr}, cudaStreamPerThread, own.get(), own.get()})
    same_bits(results(stream), one_by_one);
  // Several threads, each with a stream.
  std::vector<RunResults<float>> at_once(3);
  std::vector<std::thread> threads;
  for (RunResults<float>& result : at_once)
    threads.emplace_back([&] {
      const Stream stream;
      result = results(stream.get());
    });
  for (std::thread& thread : threads) thread.join();
  for (const RunResults<float>& result : at_once) same_bits(result, one_by_one);
}

TEST_CASE("a stream under capture raises an error") {
  if (no_device()) return;
  const Scene<float> scene(100, 2);
  const Stream stream;
  DeviceMemory memory;
  const RolloutInput<float> in = run_input(scene, false, 0, memory);
  REQUIRE(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeRelaxed) == cudaSuccess);
  CHECK_THROWS_WITH_AS(device_rollout(scene_params(Basis::quadratic), in, stream.get()),
                       doctest::Contains("is being captured"), cuda::DeviceError);
  cudaGraph_t graph = nullptr;
  REQUIRE(cudaStreamEndCapture(stream.get(), &graph) == cudaSuccess);
  REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
}

TEST_CASE_TEMPLATE("losses on a GPU match the CPU", T, float, double) {
  if (no_device()) return;
  const Scene<T> scene(3000);
  const MpmParams params = scene_params(Basis::cubic);
  const std::size_t nodes = 12 * 12 * 12;
  DeviceMemory memory;
  std::vector<T> mass(nodes), target(nodes, T(0.1)), adj(nodes);
  const Backend<T>&cpu = backend<T>({}), &device = backend<T>(kDevice);
  double expected = 0;
  cpu.mpm.grid_mass({}, params, scene.count, scene.x.data(), scene.mass.data(), mass.data());
  cpu.losses.grid_mass({}, MassLoss::log, nodes, mass.data(), target.data(), T(1), T(1), adj.data(), &expected);
  T *m = memory.allocate<T>(nodes), *adj_m = memory.allocate<T>(nodes);
  double* value = memory.allocate<double>(1);
  device.mpm.grid_mass(kDevice, params, scene.count, memory.upload(scene.x), memory.upload(scene.mass), m);
  device.losses.grid_mass(kDevice, MassLoss::log, nodes, m, memory.upload(target), T(1), T(1), adj_m, value);
  CHECK(memory.download(value, 1)[0] == doctest::Approx(expected).epsilon(sizeof(T) == 8 ? 1e-12 : 1e-5));
  const std::vector<T> gradient = memory.download(adj_m, nodes);
  for (std::size_t n = 0; n < nodes; ++n)
    CHECK(gradient[n] == doctest::Approx(adj[n]).epsilon(sizeof(T) == 8 ? 1e-11 : 1e-4).scale(1));
}

TEST_CASE("the error on a GPU names a particle outside the grid") {
  if (no_device()) return;
  Scene<float> scene(500, 8);
  scene.x[3 * 7 + 1] = 100.0f;
  DeviceMemory memory;
  CHECK_THROWS_WITH_AS(device_rollout(scene_params(Basis::cubic), run_input(scene, false, 0, memory)),
                       "particle 7 left the grid in step 0", StepError);
}

TEST_CASE("the error on a GPU names the step that stops a batch") {
  if (no_device()) return;
  Scene<float> scene(500, 40);
  MpmParams params = scene_params(Basis::cubic);
  params.dt = 1e-3;
  scene.control[(22 * 500 + 9) * 9] = -50.0f;
  DeviceMemory memory;
  RolloutInput<float> in = run_input(scene, false, 0, memory);
  in.control_stride = 1;
  CHECK_THROWS_WITH_AS(device_rollout(params, in), "particle 9 is inverted (det F <= 0) in step 22", StepError);
}

TEST_CASE_TEMPLATE("a surface on a GPU and its adjoint match the CPU", T, float, double) {
  if (no_device()) return;
  const CarriedScene<T> scene(5000, 2000, 8);
  const std::size_t n = scene.x.size() / 3, m = static_cast<std::size_t>(scene.samples);
  DeviceMemory memory;
  surface::BindingView<T> b = scene.view();
  b.parent = memory.upload(scene.parent), b.offset = memory.upload(scene.offset);
  b.support = memory.upload(scene.support), b.axes = memory.upload(scene.axes), b.normal = memory.upload(scene.normal);
  const T *x = memory.upload(scene.x), *F = memory.upload(scene.F);
  const auto close = [&](const T* result, const std::vector<T>& expected) {
    const std::vector<T> values = memory.download(result, expected.size());
    double worst = 0, scale = 0;
    for (std::size_t k = 0; k < expected.size(); ++k) {
      worst = std::max(worst, std::abs(double(values[k]) - double(expected[k])));
      scale = std::max(scale, std::abs(double(expected[k])));
    }
    CHECK(worst < (sizeof(T) == 8 ? 1e-12 : 1e-5) * scale);
  };
  GaussianValues<T> expected(scene.samples, scene.parents);
  const surface::SurfaceFunctions<T>&cpu = backend<T>({}).surface, &device = backend<T>(kDevice).surface;
  cpu.evaluate({}, scene.view(), scene.x.data(), scene.F.data(), scene.sigma0, expected.arrays());
  const surface::GaussianArrays<T> out{memory.allocate<T>(3 * m), memory.allocate<T>(9 * m), memory.allocate<T>(3 * m),
                                       memory.allocate<T>(8 * m)};
  device.evaluate(kDevice, b, x, F, scene.sigma0, out);
  close(out.means, expected.means), close(out.covars, expected.covars), close(out.normals, expected.normals);
  close(out.weights, expected.weights);

  std::vector<T> adj_x(3 * n), adj_F(9 * n);
  double adj_sigma0 = 0;
  cpu.evaluate_vjp({}, scene.view(), scene.x.data(), scene.F.data(), scene.sigma0, scene.adj.constants(), adj_x.data(),
                   adj_F.data(), &adj_sigma0);
  T *to_x = memory.allocate<T>(3 * n), *to_F = memory.allocate<T>(9 * n);
  double* to_sigma0 = memory.allocate<double>(1);
  const surface::GaussianArrays<const T> adj{memory.upload(scene.adj.means), memory.upload(scene.adj.covars),
                                             memory.upload(scene.adj.normals), memory.upload(scene.adj.weights)};
  device.evaluate_vjp(kDevice, b, x, F, scene.sigma0, adj, to_x, to_F, to_sigma0);
  close(to_x, adj_x), close(to_F, adj_F);
  CHECK(memory.download(to_sigma0, 1)[0] == doctest::Approx(adj_sigma0).epsilon(sizeof(T) == 8 ? 1e-12 : 1e-5));
}
