// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <algorithm>
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

constexpr std::int32_t kIndex[kParents] = {0, 1, 2, 3};

// A sample that owns its weights.
struct Sample {
  double w[kParents];
  SampleState<double> state;
  SampleSaved<double> saved;

  Sample(const SampleRest<double>& rest, const SampleParents<double>& parents, double sigma0) {
    state.w = w;
    interpolate(rest, parents, sigma0, state, saved);
  }
};

struct Example {
  Vec3<double> r[kParents], x[kParents], direction_x[kParents];
  Mat3<double> F[kParents], direction_F[kParents];
  double adj_w[kParents];
  SampleRest<double> rest;
  SampleState<double> adj;

  Example() {
    Numbers number;
    rest.count = kParents, rest.r = r, rest.support = 2.0;
    adj.w = adj_w;
    for (double& a : rest.axes.m) a = number();
    rest.normal = {{0.6, 0.0, 0.8}};
    for (int k = 0; k < kParents; ++k) {
      for (int r = 0; r < 3; ++r) {
        this->r[k][r] = 0.3 * number(), x[k][r] = 0.5 * number(), direction_x[k][r] = number();
      }
      for (int n = 0; n < 9; ++n) {
        F[k].m[n] = (n % 4 == 0 ? 1.0 : 0.0) + 0.2 * number(), direction_F[k].m[n] = number();
      }
      adj.w[k] = number();
    }
    for (double& a : adj.mean.c) a = number();
    for (double& a : adj.normal.c) a = number();
    for (double& a : adj.covar.m) a = number();
  }

  Example(const Example&) = delete;
  Example& operator=(const Example&) = delete;

  SampleParents<double> parents() const { return {kIndex, x, F}; }

  double value(double t, double sigma0) const {
    Vec3<double> moved_x[kParents];
    Mat3<double> moved_F[kParents];
    for (int k = 0; k < kParents; ++k) {
      moved_x[k] = x[k] + t * direction_x[k];
      moved_F[k] = F[k] + t * direction_F[k];
    }
    const SampleState<double>& s = Sample(rest, {kIndex, moved_x, moved_F}, sigma0).state;
    double sum = dot(adj.mean, s.mean) + dot(adj.normal, s.normal) + contract(adj.covar, s.covar);
    for (int k = 0; k < kParents; ++k) sum += adj.w[k] * s.w[k];
    return sum;
  }
};

}  // namespace

TEST_CASE("the adjoint of a sample agrees with central differences") {
  const Example e;
  const Sample s(e.rest, e.parents(), 0.7);
  double adj_w[kParents];
  std::copy(e.adj_w, e.adj_w + kParents, adj_w);
  SampleState<double> adj = e.adj;
  adj.w = adj_w;
  ParentAdjoint<double> adj_p[kParents];
  double adj_sigma0 = 0, derivative = 0;
  interpolate_vjp(e.rest, e.parents(), 0.7, s.state, s.saved, adj, adj_p, adj_sigma0);
  for (int k = 0; k < kParents; ++k)
    derivative += dot(adj_p[k].x, e.direction_x[k]) + contract(adj_p[k].F, e.direction_F[k]);
  constexpr double h = 1e-5;
  CHECK(derivative == doctest::Approx((e.value(h, 0.7) - e.value(-h, 0.7)) / (2 * h)).epsilon(1e-7));
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

TEST_CASE("parents outside of the support have equal weights") {
  Example e;
  e.rest.support = 1e-6;
  for (Vec3<double>& r : e.r) r = {{5.0, 0, 0}};
  const Sample s(e.rest, e.parents(), 0.7);
  for (int k = 0; k < kParents; ++k) CHECK(s.w[k] == doctest::Approx(0.25));
}
