// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <initializer_list>

#include "diffmpm/mpm/grid_update.hpp"
#include "math/random_matrix.hpp"
#include "mpm/step_example.hpp"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

constexpr Index kWall[3] = {0, 6, 11}, kInner[3] = {5, 6, 5};

MpmParams params_with(Boundary boundary) {
  MpmParams p = example_params();
  p.boundary = boundary;
  return p;
}

Vec3<double> velocity(Boundary boundary, const Index (&node)[3], const Vec3<double>& q) {
  return grid_update(step_constants<double>(params_with(boundary)), node, 1.0, q);
}

}  // namespace

TEST_CASE("an empty node is at rest, and a free node falls") {
  const MpmParams params = params_with(Boundary::none);
  const StepConstants<double> c = step_constants<double>(params);
  const Vec3<double> q = {{1, 2, 3}};
  CHECK(grid_update(c, kInner, 0.0, q)[2] == 0);
  const Vec3<double> v = grid_update(c, kInner, 2.0, q);
  for (int r = 0; r < 3; ++r) CHECK(v[r] == doctest::Approx(q[r] / 2 + params.dt * params.gravity[r]));
}

TEST_CASE("sticky walls stop a node, slip walls its normal velocity, separating walls its inward velocity") {
  const Vec3<double> inward = {{-1, 1, 5}}, outward = {{1, 1, -5}};
  const Vec3<double> free_in = velocity(Boundary::none, kWall, inward);
  const Vec3<double> free_out = velocity(Boundary::none, kWall, outward);
  const Vec3<double> stuck = velocity(Boundary::sticky, kWall, inward);
  CHECK(dot(stuck, stuck) == 0);
  const Vec3<double> slid = velocity(Boundary::slip, kWall, outward);
  CHECK(slid[0] == 0);
  CHECK(slid[1] == free_out[1]);
  CHECK(slid[2] == 0);
  const Vec3<double> closed = velocity(Boundary::separate, kWall, inward);
  CHECK(closed[0] == 0);
  CHECK(closed[1] == free_in[1]);
  CHECK(closed[2] == 0);
  const Vec3<double> open = velocity(Boundary::separate, kWall, outward);
  for (int r = 0; r < 3; ++r) CHECK(open[r] == free_out[r]);
}

TEST_CASE("the adjoint is the transpose of the derivative, for every boundary and collider") {
  constexpr double h = 1e-6;  // the map is smooth away from its switches: error near 1e-9
  for (const Boundary boundary : {Boundary::none, Boundary::sticky, Boundary::slip, Boundary::separate}) {
    for (const Boundary mode : {Boundary::sticky, Boundary::slip, Boundary::separate}) {
      MpmParams params = params_with(boundary);
      params.colliders.push_back({ColliderShape::sphere, mode, {2.4, 3.1, 2.3}, {0, 0, 1}, 0.9});
      params.colliders.push_back({ColliderShape::half_space, mode, {0, 0, 0.2}, {0, 0.6, 0.8}, 0});
      const StepConstants<double> c = step_constants<double>(params);
      for (const auto& node : {kWall, kInner}) {
        const Index index[3] = {node[0], node[1], node[2]};
        for (std::uint64_t n = 0; n < 10; ++n) {
          const Mat3<double> random = random_matrix(n);
          const double m = 1.5, dm = random.m[8];
          const Vec3<double> q = {{random.m[0], random.m[1], random.m[2]}};
          const Vec3<double> dq = {{random.m[3], random.m[4], random.m[5]}};
          const Vec3<double> adj_v = {{random.m[6], random.m[7], random.m[1]}};
          double adj_m, adj_g[3] = {0, 0, 0};
          Vec3<double> adj_q;
          grid_update_vjp(c, index, m, q, adj_v, adj_m, adj_q, adj_g);
          StepConstants<double> high = c, low = c;
          for (int r = 0; r < 3; ++r) high.gravity[r] += h * dq[r], low.gravity[r] -= h * dq[r];
          const Vec3<double> difference =
              grid_update(high, index, m + h * dm, q + h * dq) - grid_update(low, index, m - h * dm, q - h * dq);
          double analytic = adj_m * dm + dot(adj_q, dq);
          for (int r = 0; r < 3; ++r) analytic += adj_g[r] * dq[r];
          CHECK(analytic == doctest::Approx((0.5 / h) * dot(adj_v, difference)).epsilon(1e-6).scale(1));
        }
      }
    }
  }
}
