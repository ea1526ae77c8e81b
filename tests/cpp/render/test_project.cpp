// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "diffmpm/core/random.hpp"
#include "diffmpm/render/project.hpp"
#include "math/random_matrix.hpp"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

// Inputs of a projection as one vector: mean (3), covariance (6, upper triangle), R (9), t (3).
constexpr int kInputs = 21;
using Inputs = std::vector<double>;

struct Parts {
  Camera<double> camera;
  Vec3<double> mean;
  Mat3<double> covar;
};

Parts unpack(const Inputs& in) {
  double viewmat[16] = {};
  for (int r = 0; r < 3; ++r) {
    for (int s = 0; s < 3; ++s) viewmat[4 * r + s] = in[9 + 3 * r + s];
    viewmat[4 * r + 3] = in[18 + r];
  }
  const double K[9] = {50, 0, 21, 0, 45, 14, 0, 0, 1};
  Parts p{make_camera<double>(viewmat, K, 40, 30), {{in[0], in[1], in[2]}}, {}};
  p.covar = {{in[3], in[4], in[5], in[4], in[6], in[7], in[5], in[7], in[8]}};
  return p;
}

// Inputs with the mean at slopes (u, v), which decide whether the point of the Jacobian is clamped.
Inputs example(double u, double v, std::uint64_t stream) {
  const Mat3<double> A = random_matrix(stream), B = 0.2 * random_matrix(stream + 1), covar = mul_nt(A, A);
  Inputs in = {0.3, -0.2, 0.1, covar(0, 0), covar(0, 1), covar(0, 2), covar(1, 1), covar(1, 2), covar(2, 2)};
  Mat3<double> R = B;
  R.add_diagonal(1.0);
  in.insert(in.end(), R.m, R.m + 9);
  const Vec3<double> turned = mul(R, Vec3<double>{{in[0], in[1], in[2]}});
  const double z = 2.5, p[3] = {u * z, v * z, z};
  for (int r = 0; r < 3; ++r) in.push_back(p[r] - turned[r]);
  return in;
}

const double kWeights[6] = {0.7, -1.3, 0.4, 0.9, -0.6, 1.1};

double value(const Inputs& in) {
  const Parts p = unpack(in);
  const Projection<double> out = project(p.camera, p.mean, p.covar);
  return kWeights[0] * out.mean[0] + kWeights[1] * out.mean[1] + kWeights[2] * out.covar[0] +
         kWeights[3] * out.covar[1] + kWeights[4] * out.covar[2] + kWeights[5] * out.depth;
}

Inputs gradient(const Inputs& in) {
  const Parts p = unpack(in);
  const Projection<double> adj = {{kWeights[0], kWeights[1]}, {kWeights[2], kWeights[3], kWeights[4]}, kWeights[5]};
  Vec3<double> adj_mean = Vec3<double>::zero(), adj_t = Vec3<double>::zero();
  Mat3<double> adj_covar = Mat3<double>::zero(), adj_R = Mat3<double>::zero();
  project_vjp(p.camera, p.mean, p.covar, adj, adj_mean, adj_covar, adj_R, adj_t);
  Inputs out(adj_mean.c, adj_mean.c + 3);
  for (int r = 0; r < 3; ++r)
    for (int s = r; s < 3; ++s) out.push_back(r == s ? adj_covar(r, s) : adj_covar(r, s) + adj_covar(s, r));
  out.insert(out.end(), adj_R.m, adj_R.m + 9);
  out.insert(out.end(), adj_t.c, adj_t.c + 3);
  return out;
}

void check_gradient(const Inputs& in) {
  const Inputs adj = gradient(in);
  for (std::size_t n = 0; n < kInputs; ++n) {
    Inputs low = in, high = in;
    const double h = 1e-6;
    low[n] -= h, high[n] += h;
    CHECK(adj[n] == doctest::Approx((value(high) - value(low)) / (2 * h)).epsilon(1e-6).scale(100));
  }
}

}  // namespace

TEST_CASE("adjoint of the projection, inside and outside of the clamped frustum") {
  check_gradient(example(0.1, -0.05, 1));
  check_gradient(example(0.9, -0.05, 3));
  check_gradient(example(0.1, -0.8, 5));
  check_gradient(example(-1.5, 2.0, 7));
}

TEST_CASE("a sphere on the axis becomes a circle") {
  const double viewmat[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 4, 0, 0, 0, 1}, K[9] = {80, 0, 20, 0, 80, 15, 0, 0, 1};
  const Camera<double> camera = make_camera<double>(viewmat, K, 40, 30);
  const Projection<double> out = project(camera, Vec3<double>::zero(), Mat3<double>::diagonal(0.01));
  CHECK(out.mean[0] == doctest::Approx(20));
  CHECK(out.mean[1] == doctest::Approx(15));
  CHECK(out.covar[0] == doctest::Approx(0.01 * 400 + kDilation));
  CHECK(out.covar[1] == doctest::Approx(0).scale(1));
  CHECK(out.covar[2] == doctest::Approx(0.01 * 400 + kDilation));
  CHECK(out.depth == doctest::Approx(4));
}

TEST_CASE("covariance of quaternion and scales, and its adjoint") {
  const double in[7] = {0.8, -0.5, 0.3, 1.1, 0.4, 1.2, 0.7};
  const Mat3<double> adj = random_matrix(11);
  double adj_quat[4] = {}, adj_scale[3] = {};
  quat_scale_covariance_vjp(in, in + 4, adj, adj_quat, adj_scale);
  for (int n = 0; n < 7; ++n) {
    double low[7], high[7];
    std::copy_n(in, 7, low), std::copy_n(in, 7, high);
    low[n] -= 1e-6, high[n] += 1e-6;
    const double slope =
        (contract(adj, quat_scale_covariance(high, high + 4)) - contract(adj, quat_scale_covariance(low, low + 4))) /
        2e-6;
    CHECK((n < 4 ? adj_quat[n] : adj_scale[n - 4]) == doctest::Approx(slope).epsilon(1e-7).scale(1));
  }
  const Mat3<double> covar = quat_scale_covariance(in, in + 4);
  CHECK(determinant(covar) == doctest::Approx(std::pow(0.4 * 1.2 * 0.7, 2)));
  CHECK(trace(covar) == doctest::Approx(0.16 + 1.44 + 0.49));
}

TEST_CASE("adjoint of a rotation") {
  const double unit[4] = {0.5, -0.5, 0.5, 0.5};
  const Mat3<double> R = quat_rotation(unit), adj = random_matrix(4);
  CHECK(distance(mul_nt(R, R), Mat3<double>::identity()) < 1e-15);
  double adj_unit[4] = {};
  quat_rotation_vjp(unit, adj, adj_unit);
  for (int n = 0; n < 4; ++n) {
    double low[4], high[4];
    std::copy_n(unit, 4, low), std::copy_n(unit, 4, high);
    low[n] -= 1e-6, high[n] += 1e-6;
    const double slope = (contract(adj, quat_rotation(high)) - contract(adj, quat_rotation(low))) / 2e-6;
    CHECK(adj_unit[n] == doctest::Approx(slope).epsilon(1e-8).scale(1));
  }
}
