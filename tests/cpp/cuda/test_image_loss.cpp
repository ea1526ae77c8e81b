// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/backend.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <stdexcept>
#include <vector>

#include "cuda/emulation.hpp"
#include "losses/image_loss.cuh"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

constexpr int kHeight = 29, kWidth = 45;

template <class T>
std::vector<T> random_values(std::size_t count, std::uint64_t stream) {
  std::vector<T> out;
  for (std::size_t n = 0; n < count; ++n) out.push_back(static_cast<T>(random_uniform(5, n, stream)));
  return out;
}

// Random images with 2 channels, or covariances, with their targets and the expected loss.
template <class T>
struct Comparison {
  ImageLossInput<T> in;
  std::vector<T> image, depth, target, target_second, adj_image, adj_depth;
  double value = 0;

  explicit Comparison(ImageLoss loss) {
    const bool covariances = loss == ImageLoss::spectrum || loss == ImageLoss::size;
    in.loss = loss, in.count = covariances ? 777 : 3, in.length = 0.7;
    in.height = covariances ? 3 : kHeight, in.width = covariances ? 3 : kWidth;
    in.channels = loss == ImageLoss::ssim || loss == ImageLoss::edges ? 2 : 1;
    in.scales = {{0, 0.3}, {0.9, 1}, {3.1, 0.5}, {500, 2}};  // the last window is larger than the image
    const auto size = static_cast<std::size_t>(in.values());
    image = random_values<T>(size, 1), depth = random_values<T>(size, 2);
    target = random_values<T>(size, 3), target_second = random_values<T>(size, 4);
    if (covariances)
      for (std::size_t n = 0; n < size; ++n) image[n] += n % 9 % 4 == 0 ? T(3) : T(0);
  }
  template <class Evaluate>
  void run(const Evaluate& evaluate) {
    adj_image.assign(image.size(), T(-9)), adj_depth.assign(image.size(), T(-9));
    in.image = image.data(), in.depth = depth.data();
    in.target = target.data(), in.target_second = target_second.data();
    in.adj_image = adj_image.data(), in.adj_depth = adj_depth.data();
    value = evaluate(in);
  }
};

template <class T>
void check_close(const std::vector<T>& given, const std::vector<T>& expected, double tolerance) {
  double scale = 0, worst = 0;
  for (std::size_t n = 0; n < expected.size(); ++n) {
    scale = std::max(scale, std::abs(static_cast<double>(expected[n])));
    const double difference = std::abs(static_cast<double>(given[n]) - static_cast<double>(expected[n]));
    if (!(difference <= worst)) worst = difference;
  }
  CHECK(worst <= tolerance * scale);
}

}  // namespace

// Sums over other chunks; fused multiply-adds round differently, and differences of moments amplify that.
TEST_CASE_TEMPLATE("emulated image losses match the CPU", T, float, double) {
  const double tolerance = sizeof(T) == 8 ? 1e-13 : 1e-5;
  for (int loss = 0; loss <= static_cast<int>(ImageLoss::size); ++loss) {
    CAPTURE(loss);
    Comparison<T> cpu(static_cast<ImageLoss>(loss)), device = cpu, other = cpu;
    cpu.run([](const auto& in) { return backend<T>({}).image_losses.evaluate({}, in); });
    device.run([](const auto& in) {
      cuda::DevicePasses<EmulatedQueue> passes{EmulatedQueue(1, nullptr, true)};
      return image_loss_on(passes, in);
    });
    CHECK(device.value == doctest::Approx(cpu.value).epsilon(tolerance));
    check_close(device.adj_image, cpu.adj_image, tolerance);
    if (loss == static_cast<int>(ImageLoss::depth)) check_close(device.adj_depth, cpu.adj_depth, tolerance);
    other.run([](const auto& in) {
      cuda::DevicePasses<EmulatedQueue> passes{EmulatedQueue(2)};  // another thread order
      return image_loss_on(passes, in);
    });
    CHECK(other.value == device.value);
    CHECK(other.adj_image == device.adj_image);
    CHECK(other.adj_depth == device.adj_depth);
  }
}

TEST_CASE("a covariance that is not positive definite raises an error") {
  Comparison<double> flat(ImageLoss::spectrum);
  for (std::size_t n = 0; n < 9; ++n) flat.image[9 * 5 + n] = n == 0 ? -0.25 : n % 4 == 0 ? 1 : 0;
  const auto refused = "covars: expected positive definite matrices, got an eigenvalue of -0.25";
  CHECK_THROWS_WITH_AS(flat.run([](const auto& in) { return backend<double>({}).image_losses.evaluate({}, in); }),
                       refused, std::invalid_argument);
  CHECK_THROWS_WITH_AS(flat.run([](const auto& in) {
    cuda::DevicePasses<EmulatedQueue> passes{EmulatedQueue()};
    return image_loss_on(passes, in);
  }),
                       refused, std::invalid_argument);
}

TEST_CASE("a blur preserves constants far from the border, and is zero beyond it") {
  const std::vector<double> ones(kHeight * kWidth, 1.0);
  std::vector<double> out(ones.size());
  cuda::DevicePasses<EmulatedQueue> passes{EmulatedQueue()};
  passes.blur(1, kHeight, kWidth, 1.5, ones.data(), out.data());
  CHECK(out[14 * kWidth + 20] == doctest::Approx(1).epsilon(1e-14));
  const BlurWeights w = blur_weights(1.5);
  const double edge = 0.5 * (1 + w.at[0]);  // half of the weights, and the weight of the pixel itself
  CHECK(out[14 * kWidth] == doctest::Approx(edge).epsilon(1e-14));
  CHECK(out[0] == doctest::Approx(edge * edge).epsilon(1e-14));
}
