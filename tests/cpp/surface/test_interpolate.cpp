// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cmath>

#include "diffmpm/core/random.hpp"
#include "diffmpm/surface/interpolate.hpp"

using namespace diffmpm;
using namespace diffmpm::surface;

namespace {

constexpr int kParents = 4;

struct Numbers {
  std::uint64_t next = 0;
  double operator()() { return 2 * random_uniform(3, next++, 0) - 1; }
};

struct Example {
  SampleRest<double> rest;
  SampleParents<double> parents, direction;
  SampleState<double> adj;

  Example() {
    Numbers number;
    rest.count = kParents, rest.support = 2.0;
    for (double& a : rest.axes.m) a = number();
    rest.normal = {{0.6, 0.0, 0.8}};
    for (int k = 0; k < kParents; ++k) {
      for (int r = 0; r < 3; ++r) {
        rest.r[k][r] = 0.3 * number(), parents.x[k][r] = 0.5 * number(), direction.x[k][r] = number();
      }
      for (int n = 0; n < 9; ++n) {
        parents.F[k].m[n] = (n % 4 == 0 ? 1.0 : 0.0) + 0.2 * number(), direction.F[k].m[n] = number();
      }
      adj.w[k] = number();
    }
    for (double& a : adj.mean.c) a = number();
    for (double& a : adj.normal.c) a = number();
    for (double& a : adj.cov.m) a = number();
  }

  double value(double t, double sigma0) const {
    SampleParents<double> p = parents;
    for (int k = 0; k < kParents; ++k) {
      p.x[k] += t * direction.x[k];
      p.F[k] += t * direction.F[k];
    }
    SampleState<double> s;
    SampleSaved<double> saved;
    interpolate(rest, p, sigma0, s, saved);
    double sum = dot(adj.mean, s.mean) + dot(adj.normal, s.normal) + contract(adj.cov, s.cov);
    for (int k = 0; k < kParents; ++k) sum += adj.w[k] * s.w[k];
    return sum;
  }
};

}  // namespace

TEST_CASE("the adjoint of a sample agrees with central differences") {
  const Example e;
  SampleState<double> s, adj = e.adj;
  SampleSaved<double> saved;
  SampleParents<double> adj_p;
  for (int k = 0; k < kParents; ++k) adj_p.x[k] = Vec3<double>::zero(), adj_p.F[k] = Mat3<double>::zero();
  double adj_sigma0 = 0, got = 0;
  interpolate(e.rest, e.parents, 0.7, s, saved);
  interpolate_vjp(e.rest, e.parents, 0.7, s, saved, adj, adj_p, adj_sigma0);
  for (int k = 0; k < kParents; ++k) got += dot(adj_p.x[k], e.direction.x[k]) + contract(adj_p.F[k], e.direction.F[k]);
  constexpr double h = 1e-5;
  CHECK(got == doctest::Approx((e.value(h, 0.7) - e.value(-h, 0.7)) / (2 * h)).epsilon(1e-7));
  CHECK(adj_sigma0 == doctest::Approx((e.value(0, 0.7 + h) - e.value(0, 0.7 - h)) / (2 * h)).epsilon(1e-7));
}

TEST_CASE("a normal without direction is the rest normal and has no gradient") {
  const Vec3<double> n0 = {{0, 0, 1}}, adj_normal = {{1, 2, 3}};
  Vec3<double> area;
  const Mat3<double> F = Mat3<double>::zero();
  const Vec3<double> n = carry_normal(F, n0, area);
  Mat3<double> adj_F = Mat3<double>::zero();
  carry_normal_vjp(F, n0, area, n, adj_normal, adj_F);
  CHECK(n[2] == 1);
  for (double a : adj_F.m) CHECK(a == 0);
}

TEST_CASE("parents out of reach share the sample") {
  Example e;
  e.rest.support = 1e-6;
  for (int k = 0; k < kParents; ++k) e.rest.r[k] = {{5.0, 0, 0}};
  SampleState<double> s;
  SampleSaved<double> saved;
  interpolate(e.rest, e.parents, 0.7, s, saved);
  for (int k = 0; k < kParents; ++k) CHECK(s.w[k] == doctest::Approx(0.25));
}
