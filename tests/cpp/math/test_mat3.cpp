// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "diffmpm/math/mat3.hpp"
#include "math/random_matrix.hpp"

using namespace diffmpm;
using namespace diffmpm::testing;

// 50 eps, for 9 products and sums of numbers of order 1.
constexpr double kTolerance = 1e-14;

TEST_CASE("products with transposes agree with the plain product") {
  const Mat3<double> a = random_matrix(0), b = random_matrix(1);
  Mat3<double> at, bt;
  for (int r = 0; r < 3; ++r)
    for (int s = 0; s < 3; ++s) at(r, s) = a(s, r), bt(r, s) = b(s, r);
  CHECK(distance(mul_nt(a, b), mul(a, bt)) < kTolerance);
  CHECK(distance(mul_tn(a, b), mul(at, b)) < kTolerance);
  CHECK(contract(a, b) == doctest::Approx(trace(mul_tn(a, b))).epsilon(kTolerance));
}

TEST_CASE("cofactors give the determinant, the inverse and the derivative of the determinant") {
  const Mat3<double> a = random_deformation(2), direction = random_matrix(3);
  const Mat3<double> cof = cofactor(a);
  const double J = determinant(a, cof);
  CHECK(J == doctest::Approx(determinant(a)).epsilon(kTolerance));
  CHECK(distance(mul_nt(a, cof), Mat3<double>::diagonal(J)) < kTolerance);
  const double h = 1e-6;  // error of the central difference: h^2, below 1e-9
  const double numeric = (determinant(a + h * direction) - determinant(a - h * direction)) / (2 * h);
  CHECK(contract(cof, direction) == doctest::Approx(numeric).epsilon(1e-8));
}
