// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "diffmpm/render/composite.hpp"

using namespace diffmpm;

namespace {

const double kCov[3] = {3.0, -1.2, 1.7};

// Opacity of the Gaussian (mean, covariance, opacity) at a point.
double alpha_at(const double* in, double x, double y) {
  const Whitening<double> w = whitening(in + 2, in[2] * in[4] - in[3] * in[3]);
  double u, v;
  return std::exp2(splat_exponent(w, std::log2(in[5]), x - in[0], y - in[1], u, v));
}

}  // namespace

TEST_CASE("the exponent is that of the Gaussian") {
  const double in[6] = {0.4, -0.3, kCov[0], kCov[1], kCov[2], 0.8};
  const double det = kCov[0] * kCov[2] - kCov[1] * kCov[1];
  for (double x = -2; x <= 2; x += 0.5) {
    for (double y = -2; y <= 2; y += 0.5) {
      const double dx = x - in[0], dy = y - in[1];
      const double q = (kCov[2] * dx * dx - 2 * kCov[1] * dx * dy + kCov[0] * dy * dy) / det;
      CHECK(alpha_at(in, x, y) == doctest::Approx(0.8 * std::exp(-0.5 * q)).epsilon(1e-14));
    }
  }
}

TEST_CASE("adjoint of the exponent, from moments") {
  const double in[6] = {0.4, -0.3, kCov[0], kCov[1], kCov[2], 0.8};
  const double points[3][3] = {{1.0, 0.5, 0.7}, {-0.5, -1.0, -1.1}, {0.3, 1.4, 0.4}};  // x, y, adj_alpha
  const Whitening<double> w = whitening(kCov, kCov[0] * kCov[2] - kCov[1] * kCov[1]);
  SplatMoments<double> moments{};
  for (const auto& p : points) {
    double u, v;
    const double g = p[2] * std::exp2(splat_exponent(w, std::log2(in[5]), p[0] - in[0], p[1] - in[1], u, v));
    const double basis[kMoments] = {1, u, v, u * u, u * v, v * v};
    for (int n = 0; n < kMoments; ++n) moments.m[n] += g * basis[n];
  }
  double adj[6] = {};
  splat_exponent_vjp(w, in[5], moments, adj, adj + 2, adj[5]);
  for (int n = 0; n < 6; ++n) {
    double low[6], high[6], slope = 0;
    std::copy_n(in, 6, low), std::copy_n(in, 6, high);
    low[n] -= 1e-6, high[n] += 1e-6;
    for (const auto& p : points) slope += p[2] * (alpha_at(high, p[0], p[1]) - alpha_at(low, p[0], p[1])) / 2e-6;
    CHECK(adj[n] == doctest::Approx(slope).epsilon(1e-8).scale(1));
  }
}

TEST_CASE("opacity is clamped above and skipped below, and so is its adjoint") {
  CHECK(splat_alpha(0.0) == kAlphaMax);
  CHECK(splat_alpha(1.0) == kAlphaMax);
  CHECK(splat_alpha(-1.0) == 0.5);
  CHECK(splat_alpha(kLog2AlphaMin) == doctest::Approx(kAlphaMin));
  CHECK(splat_alpha(std::nextafter(kLog2AlphaMin, -9.0)) == 0.0);
  CHECK(std::exp2(kLog2AlphaMin) == doctest::Approx(kAlphaMin).epsilon(1e-15));
  CHECK(kSqrtHalfLog2E * kSqrtHalfLog2E == doctest::Approx(0.5 / kLn2).epsilon(1e-15));
  CHECK(splat_alpha_vjp(kAlphaMax, 3.0) == 0.0);
  CHECK(splat_alpha_vjp(0.5, 3.0) == 1.5);
  CHECK(splat_alpha_vjp(0.0, 3.0) == 0.0);
}

TEST_CASE("compositing front to back, and early termination") {
  PixelState<double> pixel{1, 1, 5};
  CHECK(composite(0.5, 0.0, pixel) == 0.5);
  CHECK(composite(0.0, 1.0, pixel) == 0.0);
  CHECK(composite(0.999, 2.0, pixel) == doctest::Approx(0.4995));
  CHECK(pixel.transmittance == doctest::Approx(5e-4));
  CHECK(pixel.end == 5);
  CHECK(composite(0.9, 3.0, pixel) == 0.0);  // would leave 5e-5
  CHECK(pixel.end == 3);
  CHECK(pixel.open == 0.0);
  CHECK(pixel.transmittance == doctest::Approx(5e-4));
  CHECK(composite(0.1, 4.0, pixel) == 0.0);  // after the end, for any alpha
  CHECK(pixel.end == 3);
}

TEST_CASE("adjoint of the compositing") {
  const std::vector<double> alpha = {0.3, 0.0, 0.9, 0.5}, color = {0.2, 5.0, 0.7, -0.4};
  const double background = 0.6, adj_alpha_image = 0.25;
  const auto value = [&](const std::vector<double>& a) {
    PixelState<double> pixel{1, 1, 4};
    double sum = 0;
    for (std::size_t n = 0; n < a.size(); ++n) sum += composite(a[n], double(n), pixel) * color[n];
    return sum + pixel.transmittance * background + adj_alpha_image * (1 - pixel.transmittance);
  };
  PixelState<double> pixel{1, 1, 4};
  std::vector<double> weights;
  for (std::size_t n = 0; n < alpha.size(); ++n) weights.push_back(composite(alpha[n], double(n), pixel));
  PixelAdjoint<double> adj{pixel.transmittance, pixel.transmittance * (background - adj_alpha_image)};
  for (std::size_t n = alpha.size(); n-- > 0;) {
    double weight;
    const double adj_alpha = composite_vjp(alpha[n], color[n], adj, weight);
    CHECK(weight == doctest::Approx(weights[n]).epsilon(1e-14));
    std::vector<double> low = alpha, high = alpha;
    low[n] -= 1e-6, high[n] += 1e-6;
    if (n != 1) CHECK(adj_alpha == doctest::Approx((value(high) - value(low)) / 2e-6).epsilon(1e-8));
  }
  CHECK(adj.transmittance == doctest::Approx(1).epsilon(1e-14));
}
