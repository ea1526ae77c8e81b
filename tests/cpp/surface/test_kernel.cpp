// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cmath>
#include <initializer_list>

#include "diffmpm/surface/kernel.hpp"
#include "diffmpm/surface/metric.hpp"
#include "diffmpm/surface/patch.hpp"

using namespace diffmpm;

TEST_CASE("the density kernel has integral 1 and its slope is its derivative") {
  double sum = 0;
  constexpr int kSteps = 4000;  // midpoint rule: error below 1e-7
  for (int n = 0; n < kSteps; ++n) {
    const double r = (n + 0.5) / kSteps;
    sum += 4 * 3.14159265358979323846 * r * r * surface::density_kernel(r * r) / kSteps;
  }
  CHECK(sum == doctest::Approx(1).epsilon(1e-6));
  for (const double u : {0.1, 0.5, 0.9}) {
    const double numeric = (surface::density_kernel(u + 1e-6) - surface::density_kernel(u - 1e-6)) / 2e-6;
    CHECK(surface::density_kernel_slope(u) == doctest::Approx(numeric).epsilon(1e-7));
  }
}

TEST_CASE("the fill profile goes from 0 to 1 and is inverted") {
  CHECK(surface::fill_profile(-1.0) == doctest::Approx(0).scale(1));
  CHECK(surface::fill_profile(0.0) == 0.5);
  CHECK(surface::fill_profile(1.0) == doctest::Approx(1));
  for (const double t : {-0.5, -0.2, 0.0, 0.1, 0.5})
    CHECK(surface::fill_depth(surface::fill_profile(t)) == doctest::Approx(t).epsilon(1e-2).scale(0.1));
  CHECK(std::isfinite(surface::fill_depth(0.0)));
  CHECK(std::isfinite(surface::fill_depth(7.0)));
}

TEST_CASE("the filled fraction of the kernel follows from the asymmetry") {
  CHECK(surface::fill_of_asymmetry(0.0) == doctest::Approx(1));
  CHECK(surface::fill_of_asymmetry(0.1 * surface::kProfileScale / 0.5) == doctest::Approx(0.5));  // on the plane
  CHECK(surface::fill_of_asymmetry(0.9) < 0.01);
}

TEST_CASE("the adjoint of the weight kernel") {
  for (const double u : {0.0, 0.3, 0.99, 1.0, 1.5}) {
    double adj_u = 0;
    surface::weight_kernel_vjp(u, 2.0, adj_u);
    const double numeric = (surface::weight_kernel(u + 1e-6) - surface::weight_kernel(u - 1e-6)) / 1e-6;
    CHECK(adj_u == doctest::Approx(numeric).epsilon(1e-6).scale(1));
  }
}

TEST_CASE("a patch reproduces a quadric and is regular for too few points") {
  surface::Patch<double> patch, empty;
  for (int n = 0; n < 100; ++n) {
    const double u = 0.2 * (n % 10) - 0.9, v = 0.2 * (n / 10) - 0.9;
    patch.add(u, v, 0.3 + 0.1 * u - 0.2 * v + 0.5 * u * u - 0.4 * u * v + 0.2 * v * v, 1.0);
  }
  double c[surface::kPatchTerms];
  patch.solve(c);
  const double expected[] = {0.3, 0.1, -0.2, 1.0, -0.4, 0.4};
  for (int k = 0; k < surface::kPatchTerms; ++k) CHECK(c[k] == doctest::Approx(expected[k]).epsilon(5e-3));  // ridge
  empty.add(0.0, 0.0, 0.25, 1.0);
  empty.solve(c);
  CHECK(c[0] == doctest::Approx(0.25).epsilon(1e-3));
  for (int k = 1; k < surface::kPatchTerms; ++k) CHECK(c[k] == doctest::Approx(0).scale(1));
}

TEST_CASE("the stretch limit clamps the singular values") {
  const Mat3<double> F = {{5, 0, 0, 0, 1, 0.2, 0, 0, 0.1}};
  const Vec3<double> n = {{0, 0.6, 0.8}};
  const Mat3<double> L = surface::limit_stretch(F, n, 4.0), G = mul(L, F);
  Vec3<double> square;
  Mat3<double> V;
  symmetric_eigen(surface::rest_area(F, n) * mul_nt(G, G), square, V);
  for (int k = 0; k < 3; ++k) {
    CHECK(square[k] <= 4 * (1 + 1e-12));
    CHECK(square[k] >= 0.25 * (1 - 1e-12));
  }
  const Mat3<double> same = surface::limit_stretch(Mat3<double>::identity(), n, 4.0);
  for (int k = 0; k < 9; ++k) CHECK(same.m[k] == Mat3<double>::identity().m[k]);
}
