// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <initializer_list>
#include <vector>

#include "cuda/emulation.hpp"
#include "diffmpm/losses/losses.hpp"
#include "losses/filters.cuh"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

constexpr std::int64_t kImages = 3;
constexpr int kHeight = 29, kWidth = 45;

template <class T>
std::vector<T> random_images(std::int64_t pixels) {
  std::vector<T> out;
  for (std::int64_t n = 0; n < pixels; ++n)
    out.push_back(static_cast<T>(2 * random_uniform(5, static_cast<std::uint64_t>(n), 0) - 1));
  return out;
}

// The same sums in the same order; a compiler that fuses multiplication and addition rounds otherwise.
template <class T>
void check_close(const std::vector<T>& given, const std::vector<T>& expected) {
  for (std::size_t n = 0; n < expected.size(); ++n)
    CHECK(given[n] == doctest::Approx(expected[n]).scale(1).epsilon(sizeof(T) == 8 ? 1e-15 : 1e-6));
}

}  // namespace

TEST_CASE_TEMPLATE("images are blurred on a device as on the CPU", T, float, double) {
  const std::vector<T> images = random_images<T>(kImages * kHeight * kWidth);
  for (const double sigma : {0.1, 1.5, 2.9, 16.0}) {  // the last one reaches over both borders
    std::vector<T> given(images.size(), T(-9)), expected = given;
    blur(kImages, kHeight, kWidth, sigma, images.data(), expected.data());
    EmulatedQueue queue;
    cuda::blur_on(queue, kImages, kHeight, kWidth, sigma, images.data(), given.data());
    check_close(given, expected);
  }
}

TEST_CASE("a blur keeps constants where the border is far, and is zero beyond") {
  const std::vector<double> ones(kHeight * kWidth, 1.0);
  std::vector<double> out(ones.size());
  blur(1, kHeight, kWidth, 1.5, ones.data(), out.data());
  CHECK(out[14 * kWidth + 20] == doctest::Approx(1).epsilon(1e-14));
  const BlurWeights w = blur_weights(1.5);
  const double edge = 0.5 * (1 + w.at[0]);  // half of the weights, and the pixel's own
  CHECK(out[14 * kWidth] == doctest::Approx(edge).epsilon(1e-14));
  CHECK(out[0] == doctest::Approx(edge * edge).epsilon(1e-14));
}

TEST_CASE_TEMPLATE("images are pooled on a device as on the CPU, and back", T, float, double) {
  const std::vector<T> images = random_images<T>(kImages * kHeight * kWidth);
  for (const int size : {2, 4, 8, 64}) {
    const Pooling p{kHeight, kWidth, size};
    std::vector<T> means(static_cast<std::size_t>(kImages * p.rows() * p.columns()), T(-9)), expected_means = means;
    std::vector<T> adj(images.size(), T(-9)), expected_adj = adj;
    pool(kImages, kHeight, kWidth, size, images.data(), expected_means.data());
    pool_vjp(kImages, kHeight, kWidth, size, expected_means.data(), expected_adj.data());
    EmulatedQueue queue;
    cuda::pool_on(queue, kImages, p, images.data(), means.data());
    cuda::pool_vjp_on(queue, kImages, p, expected_means.data(), adj.data());
    check_close(means, expected_means);
    check_close(adj, expected_adj);
  }
}
