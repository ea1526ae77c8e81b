// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "cuda/emulation.hpp"
#include "diffmpm/backend.hpp"
#include "diffmpm/core/random.hpp"
#include "render/rasterize.cuh"

// The emulated CUDA rasteriser, compared with the CPU. tests/parity covers all options; these tests vary the order of threads and
// isolate the items of a phase in shared memory.

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

template <class T>
struct Picture {
  std::int64_t count;
  std::vector<T> means, covars, opacities, colors, backgrounds, adj_color, adj_alpha, adj_depth;
  std::vector<double> viewmats, intrinsics;
  int channels;

  Picture(std::int64_t n, int k) : count(n), channels(k) {
    std::uint64_t draws = 0;
    const auto fill = [&](std::vector<T>& out, std::int64_t size, double low, double high) {
      for (std::int64_t m = 0; m < size; ++m)
        out.push_back(static_cast<T>(low + (high - low) * std::ldexp(double(random_bits(7, draws++, 0) >> 11), -53)));
    };
    fill(means, 3 * n, -0.6, 0.6), fill(opacities, n, 0.2, 1.2), fill(colors, n * k, -0.2, 1);
    fill(backgrounds, 2 * k, 0, 1);
    std::vector<T> axes;
    fill(axes, 9 * n, -0.2, 0.2);
    for (std::int64_t m = 0; m < n; ++m)
      for (int r = 0; r < 3; ++r)
        for (int s = 0; s < 3; ++s) {
          T sum(0);
          for (int j = 0; j < 3; ++j)
            sum += axes[std::size_t(9 * m + 3 * r + j)] * axes[std::size_t(9 * m + 3 * s + j)];
          covars.push_back(sum + (r == s ? T(1e-3) : T(0)));
        }
    fill(adj_color, 2 * kWidth * kHeight * k, -1, 1), fill(adj_alpha, 2 * kWidth * kHeight, -1, 1);
    fill(adj_depth, 2 * kWidth * kHeight, -1, 1);
    viewmats = {1, 0, 0, 0,   0, 1, 0, 0,   0,  0, 1, 2.5, 0, 0, 0, 1,  //
                0, 0, 1, 0.1, 0, 1, 0, 0.1, -1, 0, 0, 2.0, 0, 0, 0, 1};
    intrinsics = {40, 0, 20, 0, 40, 14, 0, 0, 1, 45, 0, 21, 0, 44, 13, 0, 0, 1};
  }

  RasterInput<T> input() const {
    RasterInput<T> in;
    in.count = count, in.channels = channels, in.cameras = 2, in.width = kWidth, in.height = kHeight;
    in.means = means.data(), in.covars = covars.data(), in.opacities = opacities.data(), in.colors = colors.data();
    in.backgrounds = backgrounds.data(), in.viewmats = viewmats.data(), in.intrinsics = intrinsics.data();
    return in;
  }

  // Images, then gradients.
  std::vector<std::vector<double>> results(const Rasterization<T>& raster) const {
    std::vector<std::vector<double>> out;
    const auto keep = [&](const auto* values, std::size_t size) { out.emplace_back(values, values + size); };
    const DrawnImages<T>& drawn = raster.images();
    keep(drawn.color.data(), adj_color.size()), keep(drawn.alpha.data(), adj_alpha.size());
    keep(drawn.depth.data(), adj_depth.size());
    std::vector<T> g_means(means.size()), g_covars(covars.size()), g_opacities(opacities.size()),
        g_colors(colors.size()), g_backgrounds(backgrounds.size());
    std::vector<double> g_viewmats(viewmats.size());
    RasterGradients<T> g;
    g.means = g_means.data(), g.covars = g_covars.data(), g.opacities = g_opacities.data(), g.colors = g_colors.data();
    g.backgrounds = g_backgrounds.data(), g.viewmats = g_viewmats.data();
    raster.vjp({adj_color.data(), adj_alpha.data(), adj_depth.data()}, g);
    for (const auto* values : {&g_means, &g_covars, &g_opacities, &g_colors, &g_backgrounds})
      keep(values->data(), values->size());
    keep(g_viewmats.data(), g_viewmats.size());
    return out;
  }

  static constexpr int kWidth = 41, kHeight = 27;
};

// Overstates the number of entries by 2^32.
struct OverfullQueue : EmulatedQueue {
  using EmulatedQueue::EmulatedQueue;
  void inclusive_sum(std::int64_t* values, std::int64_t count) {
    EmulatedQueue::inclusive_sum(values, count);
    values[count - 1] += std::int64_t{1} << 32;
  }
};

}  // namespace

TEST_CASE("lists longer than the index range raise an error, also where 32 bits would wrap to a small number") {
  const Picture<float> picture(20, 1);
  using Overfull = cuda::DeviceRasterization<float, OverfullQueue>;
  CHECK_THROWS_WITH_AS(Overfull(picture.input(), OverfullQueue(1, nullptr, false)),
                       doctest::Contains("reach at most 2147483647 tiles"), std::invalid_argument);
}

TEST_CASE_TEMPLATE("emulated images and gradients match the CPU for any order of threads", T, float, double) {
  const double tolerance = sizeof(T) == 8 ? 1e-11 : 1e-4;
  for (const int channels : {1, 3, 6}) {
    const Picture<T> picture(250, channels);
    const auto cpu = backend<T>({}).render.rasterize({}, picture.input());
    const auto expected = picture.results(*cpu);
    std::vector<std::vector<double>> first;
    for (const std::uint64_t seed : {1, 100, 1000}) {
      const cuda::DeviceRasterization<T, EmulatedQueue> device(picture.input(),
                                                               EmulatedQueue(seed, nullptr, seed == 1000));
      CHECK(device.status_counts() == cpu->status_counts());
      CHECK(device.entry_counts() == cpu->entry_counts());
      const auto result = picture.results(device);
      if (first.empty()) first = result;
      CHECK(result == first);  // to the last bit
      for (std::size_t n = 0; n < expected.size(); ++n) {
        double largest = 0, error = 0;
        for (std::size_t m = 0; m < expected[n].size(); ++m) {
          largest = std::max(largest, std::abs(expected[n][m]));
          error = std::max(error, std::abs(result[n][m] - expected[n][m]));
        }
        CHECK(largest > 0);
        CHECK(error <= tolerance * largest);
      }
    }
  }
}
