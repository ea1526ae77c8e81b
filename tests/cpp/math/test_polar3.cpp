// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "diffmpm/math/polar3.hpp"
#include "math/random_matrix.hpp"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

// The iteration ends with an error below eps by quadratic convergence, plus a few rounding errors.
constexpr double kRotationTolerance = 5e-15;

void check_rotation(const Mat3<double>& F) {
  const Mat3<double> R = polar_rotation(F), S = mul_tn(R, F);
  CHECK(distance(mul_tn(R, R), Mat3<double>::identity()) < kRotationTolerance);
  CHECK(determinant(R) == doctest::Approx(1).epsilon(kRotationTolerance));
  CHECK(distance(S, symmetric(S)) < kRotationTolerance * (1 + contract(F, F)));
}

}  // namespace

TEST_CASE("the rotation is orthogonal and leaves a symmetric stretch") {
  for (std::uint64_t stream = 0; stream < 200; ++stream) check_rotation(random_deformation(stream));
  CHECK(distance(polar_rotation(Mat3<double>::identity()), Mat3<double>::identity()) < kRotationTolerance);
  check_rotation({{1e-3, 0, 0, 0, 1, 0, 0, 0, 1}});    // nearly flat
  check_rotation({{2, 0, 0, 0, 2, 0, 0, 0, 2}});       // equal singular values
  check_rotation({{0, -3, 0, 3, 0, 0, 0, 0, 3}});      // the same, turned
  check_rotation({{1, 5, 0, 0, 1, 5, 0, 0, 1}});       // large shear
  check_rotation({{-1, 0, 0, 0, -1, 0, 0, 0, 1e-6}});  // half a turn, nearly inverted
}

TEST_CASE("the adjoint is the transpose of the derivative, also at equal singular values") {
  const Mat3<double> singular_points[] = {
      Mat3<double>::identity(), Mat3<double>::diagonal(2.0), {{0, -3, 0, 3, 0, 0, 0, 0, 3}}};
  for (std::uint64_t stream = 0; stream < 40; ++stream) {
    const Mat3<double> F = stream < 3 ? singular_points[stream] : random_deformation(stream);
    const Mat3<double> direction = random_matrix(stream + 100), adj_R = random_matrix(stream + 200);
    Mat3<double> adj_F = Mat3<double>::zero();
    double min_gap = 1;
    polar_rotation_vjp(F, polar_rotation(F), adj_R, adj_F, min_gap);
    const double h = 1e-5;  // error of the central difference: h^2 and eps / h, both near 1e-10
    const Mat3<double> derivative = (0.5 / h) * (polar_rotation(F + h * direction) - polar_rotation(F - h * direction));
    CHECK(contract(adj_F, direction) == doctest::Approx(contract(adj_R, derivative)).epsilon(1e-8).scale(1));
    CHECK(min_gap > 0);
  }
}

TEST_CASE("the adjoint accumulates") {
  const Mat3<double> F = random_deformation(1), R = polar_rotation(F), adj_R = random_matrix(2);
  Mat3<double> once = Mat3<double>::zero(), twice = Mat3<double>::zero();
  double min_gap = 1;
  polar_rotation_vjp(F, R, adj_R, once, min_gap);
  polar_rotation_vjp(F, R, adj_R, twice, min_gap);
  polar_rotation_vjp(F, R, adj_R, twice, min_gap);
  CHECK(distance(twice, 2.0 * once) == 0);
}
