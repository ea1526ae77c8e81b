// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

#include "cuda/device_memory.hpp"
#include "cuda/run_results.hpp"
#include "diffmpm/backend.hpp"
#include "diffmpm/core/device.hpp"
#include "surface/carried_scene.hpp"

// Every kernel on a GPU, with so few particles that compute-sanitizer finishes in time (see sanitize.sh).

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

// Sums of a few hundred terms of similar size and equal sign, in another order and contracted: 1000 eps.
template <class T>
void check_close(const std::vector<T>& result, const std::vector<T>& expected) {
  double scale = 0;
  for (const T value : expected) scale = std::max(scale, std::abs(double(value)));
  CHECK(largest_difference(result, expected) <= 1000.0 * std::numeric_limits<T>::epsilon() * scale);
}

template <class T>
void compare_run(Basis basis) {
  const Scene<T> scene(300, 3);
  const MpmParams params = fast_params(basis);
  HostMemory host;
  DeviceMemory device;
  const auto expected = cpu_rollout(params, run_input(scene, true, 0, host));
  const auto result = device_rollout(params, run_input(scene, true, 0, device));
  CHECK(deviation(collect<T>(*result, scene, true, device), collect<T>(*expected, scene, true, host),
                  run_condition(params, 300, 3, true)) < 1);
}

// Gaussians in front of two cameras, several tiles wide.
struct Picture {
  static constexpr int kCount = 60, kWidth = 40, kHeight = 24;
  static constexpr std::size_t kPixels = 2 * kWidth * kHeight;
  std::vector<float> means = numbers<float>(3 * kCount, 31, 0.6), covars, opacities,
                     colors = numbers<float>(3 * kCount, 32), backgrounds = numbers<float>(6, 33),
                     adj_color = numbers<float>(3 * kPixels, 34), adj_alpha = numbers<float>(kPixels, 35),
                     adj_depth = numbers<float>(kPixels, 36);
  std::vector<double> viewmats{1, 0, 0, 0,   0, 1, 0, 0,   0,  0, 1, 2.5, 0, 0, 0, 1,  //
                               0, 0, 1, 0.1, 0, 1, 0, 0.1, -1, 0, 0, 2.0, 0, 0, 0, 1};
  std::vector<double> intrinsics{40, 0, 20, 0, 40, 12, 0, 0, 1, 45, 0, 21, 0, 44, 11, 0, 0, 1};

  Picture() {
    for (int g = 0; g < kCount; ++g) {
      const auto at = static_cast<std::uint64_t>(g);
      const auto variance = static_cast<float>(0.01 + 0.005 * signed_number(at, 37));
      for (int k = 0; k < 9; ++k) covars.push_back(k % 4 == 0 ? variance : 0.1f * variance);
      opacities.push_back(static_cast<float>(0.6 + 0.3 * signed_number(at, 38)));
    }
  }

  // Images, then gradients, with arrays in `memory`.
  template <class Memory>
  std::vector<std::vector<float>> results(const Context& context, Memory& memory) const {
    RasterInput<float> in;
    in.count = kCount, in.cameras = 2, in.width = kWidth, in.height = kHeight;
    in.means = memory.upload(means), in.covars = memory.upload(covars), in.opacities = memory.upload(opacities);
    in.colors = memory.upload(colors), in.backgrounds = memory.upload(backgrounds);
    in.viewmats = viewmats.data(), in.intrinsics = intrinsics.data();
    const std::unique_ptr<Rasterization<float>> raster = backend<float>(context).render.rasterize(context, in);
    std::vector<double> to_viewmats(viewmats.size());
    RasterGradients<float> g;
    g.means = memory.template allocate<float>(means.size()), g.covars = memory.template allocate<float>(covars.size());
    g.opacities = memory.template allocate<float>(kCount), g.colors = memory.template allocate<float>(colors.size());
    g.backgrounds = memory.template allocate<float>(backgrounds.size()), g.viewmats = to_viewmats.data();
    raster->vjp({memory.upload(adj_color), memory.upload(adj_alpha), memory.upload(adj_depth)}, g);
    return {memory.download(raster->images().color.data(), adj_color.size()),
            memory.download(raster->images().alpha.data(), kPixels),
            memory.download(raster->images().depth.data(), kPixels),
            memory.download(g.means, means.size()),
            memory.download(g.covars, covars.size()),
            memory.download(g.opacities, opacities.size()),
            memory.download(g.colors, colors.size()),
            memory.download(g.backgrounds, backgrounds.size()),
            {to_viewmats.begin(), to_viewmats.end()}};
  }
};

}  // namespace

TEST_CASE_TEMPLATE("small: step quadratic", T, float, double) {
  if (no_device()) return;
  compare_run<T>(Basis::quadratic);
}

TEST_CASE_TEMPLATE("small: step cubic", T, float, double) {
  if (no_device()) return;
  compare_run<T>(Basis::cubic);
}

TEST_CASE("small: rasterise") {
  if (no_device()) return;
  const Picture picture;
  HostMemory host;
  DeviceMemory device;
  const auto expected = picture.results({}, host);
  const auto result = picture.results(kDevice, device);
  for (std::size_t n = 0; n < expected.size(); ++n) {
    CAPTURE(n);
    check_close(result[n], expected[n]);
  }
}

TEST_CASE_TEMPLATE("small: surface", T, float, double) {
  if (no_device()) return;
  const CarriedScene<T> scene(200, 100, 8);
  const std::size_t m = 200, n = 100;
  DeviceMemory memory;
  surface::BindingView<T> b = scene.view();
  b.parent = memory.upload(scene.parent), b.offset = memory.upload(scene.offset);
  b.support = memory.upload(scene.support), b.axes = memory.upload(scene.axes), b.normal = memory.upload(scene.normal);
  const T *x = memory.upload(scene.x), *F = memory.upload(scene.F);
  GaussianValues<T> expected(200, 8);
  const surface::SurfaceFunctions<T>&cpu = backend<T>({}).surface, &device = backend<T>(kDevice).surface;
  cpu.evaluate({}, scene.view(), scene.x.data(), scene.F.data(), scene.sigma0, expected.arrays());
  const surface::GaussianArrays<T> out{memory.allocate<T>(3 * m), memory.allocate<T>(9 * m), memory.allocate<T>(3 * m),
                                       memory.allocate<T>(8 * m)};
  device.evaluate(kDevice, b, x, F, scene.sigma0, out);
  check_close(memory.download(out.means, 3 * m), expected.means);
  check_close(memory.download(out.covars, 9 * m), expected.covars);
  check_close(memory.download(out.normals, 3 * m), expected.normals);
  check_close(memory.download(out.weights, 8 * m), expected.weights);

  std::vector<T> adj_x(3 * n), adj_F(9 * n);
  cpu.evaluate_vjp({}, scene.view(), scene.x.data(), scene.F.data(), scene.sigma0, scene.adj.constants(), adj_x.data(),
                   adj_F.data(), nullptr);
  T *to_x = memory.allocate<T>(3 * n), *to_F = memory.allocate<T>(9 * n);
  double* to_sigma0 = memory.allocate<double>(1);
  const surface::GaussianArrays<const T> adj{memory.upload(scene.adj.means), memory.upload(scene.adj.covars),
                                             memory.upload(scene.adj.normals), memory.upload(scene.adj.weights)};
  device.evaluate_vjp(kDevice, b, x, F, scene.sigma0, adj, to_x, to_F, to_sigma0);
  check_close(memory.download(to_x, 3 * n), adj_x);
  check_close(memory.download(to_F, 9 * n), adj_F);
}

TEST_CASE_TEMPLATE("small: losses", T, float, double) {
  if (no_device()) return;
  const Scene<T> scene(300);
  const std::size_t nodes = 12 * 12 * 12;
  std::vector<T> mass(nodes), adj_mass(nodes), adj_x(scene.size(3)), adj_m(scene.size(1)), adj_v(scene.size(3));
  const std::vector<T> target(nodes, T(0.1));
  DeviceMemory memory;
  const T *x = memory.upload(scene.x), *m = memory.upload(scene.mass);
  T *grid = memory.allocate<T>(nodes), *to_grid = memory.allocate<T>(nodes);
  T *to_x = memory.allocate<T>(scene.size(3)), *to_m = memory.allocate<T>(scene.size(1));
  const Backend<T>&cpu = backend<T>({}), &device = backend<T>(kDevice);
  double expected = 0, *value = memory.allocate<double>(1);
  for (const Basis basis : {Basis::quadratic, Basis::cubic}) {
    const MpmParams params = scene_params(basis);
    cpu.mpm.grid_mass({}, params, scene.count, scene.x.data(), scene.mass.data(), mass.data());
    device.mpm.grid_mass(kDevice, params, scene.count, x, m, grid);
    check_close(memory.download(grid, nodes), mass);
    for (const MassLoss loss : {MassLoss::log, MassLoss::squared}) {
      cpu.losses.grid_mass({}, loss, nodes, mass.data(), target.data(), T(1), T(2), adj_mass.data(), &expected);
      device.losses.grid_mass(kDevice, loss, nodes, grid, memory.upload(target), T(1), T(2), to_grid, value);
      check_close<T>({static_cast<T>(memory.download(value, 1)[0])}, {static_cast<T>(expected)});
      check_close(memory.download(to_grid, nodes), adj_mass);
    }
    cpu.mpm.grid_mass_vjp({}, params, scene.count, scene.x.data(), scene.mass.data(), adj_mass.data(), adj_x.data(),
                          adj_m.data());
    device.mpm.grid_mass_vjp(kDevice, params, scene.count, x, m, to_grid, to_x, to_m);
    check_close(memory.download(to_x, scene.size(3)), adj_x);
    check_close(memory.download(to_m, scene.size(1)), adj_m);
  }
  cpu.losses.kinetic({}, scene.count, scene.v.data(), adj_v.data(), &expected);
  device.losses.kinetic(kDevice, scene.count, memory.upload(scene.v), to_x, value);
  check_close<T>({static_cast<T>(memory.download(value, 1)[0])}, {static_cast<T>(expected)});
  check_close(memory.download(to_x, scene.size(3)), adj_v);
}

TEST_CASE_TEMPLATE("small: arrays", T, float, double) {
  if (no_device()) return;
  const std::vector<T> values = numbers<T>(900, 41);
  DeviceMemory memory;
  const Context device{0, nullptr};
  const ArrayFunctions<T>&on_device = backend<T>(device).arrays, &on_host = backend<T>({}).arrays;
  const T* a = memory.upload(values);
  T* out = memory.allocate<T>(900);
  on_device.add_scaled(device, {900, a, T(1), a, out});
  std::vector<T> twice;
  for (const T value : values) twice.push_back(value + value);
  CHECK(memory.download(out, 900) == twice);
  CHECK(on_device.dot(device, 900, a, out) ==
        doctest::Approx(on_host.dot({}, 900, values.data(), twice.data())).epsilon(1e-13));
  CHECK(on_device.norm(device, 900, a).largest == on_host.norm({}, 900, values.data()).largest);
  CHECK(on_device.norm(device, 900, a).value() ==
        doctest::Approx(on_host.norm({}, 900, values.data()).value()).epsilon(1e-6));
  CHECK(on_device.range(device, 900, a).low == on_host.range({}, 900, values.data()).low);
  CHECK(on_device.count_not_finite(device, 900, a) == 0);
  const std::vector<std::int32_t> rows{7, 0, 93};
  const std::int32_t* chosen = memory.upload(rows);
  T* taken = memory.allocate<T>(27);
  on_device.take_rows(device, {27, 9, chosen, a, taken});
  on_device.add_rows(device, {27, 9, chosen, taken, out});
  const std::vector<T> added = memory.download(out, 900);
  for (const std::int32_t row : rows)
    for (std::size_t k = 0; k < 9; ++k) {
      const std::size_t at = 9 * static_cast<std::size_t>(row) + k;
      CHECK(added[at] == twice[at] + values[at]);
    }
}
