// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "diffmpm/backend.hpp"
#include "diffmpm/core/random.hpp"
#include "diffmpm/core/threads.hpp"

using namespace diffmpm;

namespace {

constexpr std::int64_t kCount = 400;
constexpr int kWidth = 61, kHeight = 45;

// A ball of Gaussians in front of two cameras.
template <class T>
struct Scene {
  std::vector<T> means, quats, scales, opacities, colors, backgrounds, adj;
  std::vector<double> viewmats = {1, 0, 0,  0, 0, 1, 0, 0, 0, 0, 1, 3, 0, 0, 0, 1,
                                  0, 0, -1, 0, 0, 1, 0, 0, 1, 0, 0, 3, 0, 0, 0, 1};
  std::vector<double> intrinsics = {60, 0, 30, 0, 60, 22, 0, 0, 1, 60, 0, 30, 0, 60, 22, 0, 0, 1};
  int channels;

  explicit Scene(int k = 3) : channels(k) {
    fill(means, 3 * kCount, 0, -0.5, 0.5), fill(quats, 4 * kCount, 1, -1, 1), fill(scales, 3 * kCount, 2, 0.01, 0.1);
    fill(opacities, kCount, 3, 0, 1.1), fill(colors, k * kCount, 4, 0, 1), fill(backgrounds, 2 * k, 5, 0, 1);
    fill(adj, 2 * kWidth * kHeight * k, 6, -1, 1);
  }
  static void fill(std::vector<T>& out, std::int64_t count, std::uint64_t stream, double low, double high) {
    for (std::int64_t n = 0; n < count; ++n)
      out.push_back(static_cast<float>(low + (high - low) * random_uniform(9, static_cast<std::uint64_t>(n), stream)));
  }
  RasterInput<T> input() const {
    RasterInput<T> in;
    in.count = kCount, in.channels = channels, in.cameras = 2, in.width = kWidth, in.height = kHeight;
    in.means = means.data(), in.quats = quats.data(), in.scales = scales.data(), in.opacities = opacities.data();
    in.colors = colors.data(), in.backgrounds = backgrounds.data();
    in.viewmats = viewmats.data(), in.intrinsics = intrinsics.data();
    return in;
  }
};

template <class T>
std::unique_ptr<Rasterization<T>> draw(const Scene<T>& scene) {
  return backend<T>({}).render.rasterize({}, scene.input());
}

template <class T>
double objective(const Scene<T>& scene) {
  const auto raster = draw(scene);
  double sum = 0;
  for (std::size_t n = 0; n < scene.adj.size(); ++n)
    sum += double(scene.adj[n]) * double(raster->images().color.data()[n]);
  return sum;
}

template <class T>
std::vector<T> gradient_of_means(const Scene<T>& scene) {
  std::vector<T> out(3 * kCount);
  RasterAdjoint<T> adj;
  adj.color = scene.adj.data();
  RasterGradients<T> g;
  g.means = out.data();
  draw(scene)->vjp(adj, g);
  return out;
}

}  // namespace

TEST_CASE("the adjoint agrees with central differences of the image, for any number of channels") {
  for (int channels : {1, 3, 5}) {
    const Scene<double> scene(channels);
    const std::vector<double> gradient = gradient_of_means(scene);
    double expected = 0;
    Scene<double> low = scene, high = scene;
    for (std::size_t n = 0; n < scene.means.size(); ++n) {
      const double d = random_uniform(1, n, 8) - 0.5;
      expected += d * gradient[n];
      low.means[n] -= 1e-7 * d, high.means[n] += 1e-7 * d;
    }
    CHECK((objective(high) - objective(low)) / 2e-7 == doctest::Approx(expected).epsilon(1e-5));
  }
}

TEST_CASE("float32 is close to float64") {
  for (int channels : {1, 3, 5}) {
    const std::vector<float> single = gradient_of_means(Scene<float>(channels));
    const std::vector<double> twice = gradient_of_means(Scene<double>(channels));
    double off = 0, size = 0;
    for (std::size_t n = 0; n < twice.size(); ++n)
      off += std::pow(single[n] - twice[n], 2), size += twice[n] * twice[n];
    CHECK(std::sqrt(off / size) < 3e-4);  // allows for a pixel on the other side of 1/255
  }
}

TEST_CASE_TEMPLATE("results do not depend on the number of threads", T, float, double) {
  const Scene<T> scene;
  set_thread_count(1);
  const std::vector<T> expected = gradient_of_means(scene);
  for (int threads : {2, 5}) {
    set_thread_count(threads);
    CHECK(gradient_of_means(scene) == expected);
  }
  set_thread_count(0);
}

TEST_CASE("every gradient is written, and invisible Gaussians are counted") {
  Scene<double> scene;
  scene.means[0] = std::nan(""), scene.means[5] = -5.0, scene.quats[8] = scene.quats[9] = 0,
  scene.quats[10] = scene.quats[11] = 0;
  scene.opacities[3] = 0;
  const auto raster = draw(scene);
  const std::vector<std::int64_t> counts = raster->status_counts();
  CHECK(counts[static_cast<int>(SplatStatus::not_finite)] == 1);
  CHECK(counts[static_cast<int>(SplatStatus::near_plane)] == 1);
  CHECK(counts[static_cast<int>(SplatStatus::degenerate)] == 1);
  CHECK(counts[static_cast<int>(SplatStatus::transparent)] >= 1);
  std::vector<double> alpha(2 * kWidth * kHeight, 1.0), means(3 * kCount, -7.0), quats(4 * kCount, -7.0);
  std::vector<double> viewmats(32, -7.0), backgrounds(6, -7.0), colors(3 * kCount, -7.0);
  RasterAdjoint<double> adj;
  adj.alpha = alpha.data();
  RasterGradients<double> g;
  g.means = means.data(), g.quats = quats.data(), g.viewmats = viewmats.data(), g.backgrounds = backgrounds.data();
  g.colors = colors.data();
  raster->vjp(adj, g);
  for (const auto* values : {&means, &quats, &viewmats, &backgrounds, &colors})
    CHECK(std::none_of(values->begin(), values->end(), [](double v) { return v == -7.0 || std::isnan(v); }));
  for (int k = 0; k < 3; ++k) CHECK(means[k] == 0);
  for (double v : colors) CHECK(v == 0);
  CHECK(means[60] != 0);
  CHECK(viewmats[15] == 0);
}
