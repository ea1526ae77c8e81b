// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <initializer_list>
#include <limits>
#include <string>

#include "cuda/step_pair.hpp"
#include "mpm/adjoint.cuh"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

// Another summation order and other fused multiply-adds: measured 2.7e-15 and 1.7e-6 of the largest value, times 4.
template <class T>
constexpr double kTolerance = sizeof(T) == 8 ? 1e-14 : 7e-6;
// For sums over all nodes or particles, whose terms cancel.
template <class T>
constexpr double kSumTolerance = 4 * kTolerance<T>;

// Compares every array that a pass of a step or of its adjoint writes.
template <class T>
void compare(const MpmParams& params, const StepOptions& options) {
  StepPair<T> pair(params, options);
  const Kernels<T>& table = isa_table<Kernels<T>>();
  const StepArgs<T> a = pair.args();
  CAPTURE(static_cast<int>(params.basis));
  CAPTURE(static_cast<int>(params.material));
  CAPTURE(static_cast<int>(params.boundary));
  CAPTURE(options.rest_state);
  CAPTURE(options.control);
  const auto check = [&](const std::string& what, double error, double tolerance = kTolerance<T>) {
    CAPTURE(what);
    CHECK(error < tolerance);
  };
  const StepData<T>&result = pair.device, &expected = pair.cpu;
  table.particles_to_tiles(a), pair.template run<cuda::ParticlesToTiles>(false, 1);
  check("tiles", pair.error(pair.device_tiles(), expected.tiles));
  table.tiles_to_grid(a), pair.template run<cuda::TilesToGrid>(true, 2);
  check("mass and momentum", pair.error(result.grid_mq, expected.grid_mq));
  check("velocity", pair.error(result.grid_v, expected.grid_v));
  table.grid_to_particles(a), pair.template run<cuda::GridToParticles>(false, 3);
  check("state", pair.group_error(result.next, expected.next));
  CHECK(pair.device_flags == expected.all_flags());

  table.grid_velocity(a), pair.template run<cuda::GridVelocity>(true, 4);
  check("velocity again", pair.error(result.grid_v, expected.grid_v));
  table.grid_to_particles_vjp(a), pair.template run<cuda::GridToParticlesVjp>(false, 5);
  check("tiles of the adjoint", pair.error(pair.device_tiles(), expected.tiles));
  check("adjoint of the gather", pair.group_error(result.adj, expected.adj));
  table.tiles_to_grid_vjp(a), pair.template run<cuda::TilesToGridVjp>(true, 6);
  check("adjoint of the grid", pair.error(result.grid_v, expected.grid_v));
  check("gravity", pair.sum_error(result.adj_gravity, expected.adj_gravity, 3), kSumTolerance<T>);
  table.particles_to_tiles_vjp(a), pair.template run<cuda::ParticlesToTilesVjp>(false, 7);
  check("adjoint of the state", pair.group_error(result.adj, expected.adj));
  check("constants", pair.group_error(result.adj_properties, expected.adj_properties));
  check("drag", pair.sum_error(result.adj_drag, expected.adj_drag, 1), kSumTolerance<T>);
  if (options.control) check("control", pair.error(result.adj_control, expected.adj_control));
  CHECK(pair.device_flags == expected.all_flags());
}

template <class T>
void compare_all() {
  for (const Basis basis : {Basis::quadratic, Basis::cubic})
    for (const Material material : {Material::fixed_corotated, Material::neo_hookean})
      for (const Boundary boundary : {Boundary::none, Boundary::sticky, Boundary::slip, Boundary::separate})
        for (const bool other : {false, true}) {
          MpmParams params = scene_params(basis);
          params.material = material, params.boundary = boundary, params.boundary_nodes = 5;
          if (other) {
            Collider ball, floor;
            ball.shape = ColliderShape::sphere, ball.mode = Boundary::slip, ball.radius = 0.8;
            ball.point[0] = ball.point[1] = ball.point[2] = 2.5;
            floor.point[2] = 2.4;
            params.colliders = {ball, floor};
            params.smoothing = params.damping = params.shear_viscosity = params.bulk_viscosity = 0;
            params.volume_carried = false;
          }
          compare<T>(params, {other, other, !other, false});
          compare<T>(params, {!other, false, other, false});
        }
}

}  // namespace

TEST_CASE("each pass matches the CPU in double precision") { compare_all<double>(); }

TEST_CASE("each pass matches the CPU in single precision") { compare_all<float>(); }

TEST_CASE_TEMPLATE("the order of threads, warps and blocks does not change a bit", T, float, double) {
  for (const Basis basis : {Basis::quadratic, Basis::cubic}) {
    StepPair<T> one(scene_params(basis), {true, true, true, false}), other = one;
    one.run_forward(1), other.run_forward(2);
    one.run_adjoint(3), other.run_adjoint(4);
    CHECK(one.group_error(one.device.next, other.device.next) == 0);
    CHECK(one.group_error(one.device.adj, other.device.adj) == 0);
    CHECK(one.device.adj_gravity == other.device.adj_gravity);
    CHECK(one.device.adj_drag == other.device.adj_drag);
    CHECK(one.group_error(one.device.adj_properties, other.device.adj_properties) == 0);
  }
}

TEST_CASE_TEMPLATE("no two threads of a phase write the same shared memory", T, float, double) {
  for (const Basis basis : {Basis::quadratic, Basis::cubic}) {
    StepPair<T> pair(scene_params(basis), {true, true, true, false}, 150), watched = pair;
    watched.isolated = true;
    pair.run_forward(1), watched.run_forward(2);
    pair.run_adjoint(1), watched.run_adjoint(2);
    CHECK(watched.device.tiles == pair.device.tiles);
    CHECK(watched.device.grid_v == pair.device.grid_v);
    CHECK(watched.group_error(watched.device.next, pair.device.next) == 0);
    CHECK(watched.group_error(watched.device.adj, pair.device.adj) == 0);
    CHECK(watched.device.adj_gravity == pair.device.adj_gravity);
    CHECK(watched.device.adj_drag == pair.device.adj_drag);
    CHECK(watched.device_flags == pair.device_flags);
  }
}

TEST_CASE_TEMPLATE("the mass transfer and its adjoint match the CPU", T, float, double) {
  for (const Basis basis : {Basis::quadratic, Basis::cubic}) {
    StepPair<T> pair(scene_params(basis), {false, false, false, true});
    const Kernels<T>& table = isa_table<Kernels<T>>();
    StepArgs<T> a = pair.args();
    table.particles_to_tiles(a), table.tiles_to_grid(a);
    pair.template run<cuda::ParticlesToTiles>(false, 1), pair.template run<cuda::TilesToGrid>(true, 2);
    CHECK(pair.error(pair.device.grid_mq, pair.cpu.grid_mq) < kTolerance<T>);
    pair.cpu.grid_v = pair.cpu.grid_mq, pair.device.grid_v = pair.cpu.grid_mq;
    table.particles_to_tiles_vjp(pair.args()), pair.template run<cuda::ParticlesToTilesVjp>(false, 3);
    CHECK(pair.group_error(pair.device.adj, pair.cpu.adj) < kTolerance<T>);
    CHECK(pair.group_error(pair.device.adj_properties, pair.cpu.adj_properties) < kTolerance<T>);
  }
}

TEST_CASE("an invalid particle sets the flag of its block") {
  StepPair<double> pair(scene_params(Basis::quadratic), {}, 150);
  pair.isolated = true;
  const auto flags_like_cpu = [&] {
    const Kernels<double>& table = isa_table<Kernels<double>>();
    const StepArgs<double> a = pair.args();
    table.particles_to_tiles(a), table.tiles_to_grid(a), table.grid_to_particles(a);
    pair.run_forward(1);
    CHECK(pair.device_flags == pair.cpu.all_flags());
    return pair.device_flags;
  };
  const auto overwrite = [&](int component, double value, bool all) {
    StepPair<double> fresh(pair.params, pair.options, 150);
    pair.cpu = fresh.cpu;
    const auto stride = static_cast<std::size_t>(pair.components * kLanes),
               first = static_cast<std::size_t>(component * kLanes);
    for (std::size_t lane = 0; lane < pair.layout.ids.size(); ++lane)
      if (lane == 0 || (all && pair.layout.ids[lane] >= 0))
        pair.cpu.state[lane / kLanes * stride + first + lane % kLanes] = value;
    pair.device = pair.cpu;
  };
  CHECK(flags_like_cpu() == 0);
  overwrite(kV, 100.0, true);  // two cells per step
  CHECK(flags_like_cpu() == kFlagUnsorted);
  overwrite(kF, -50.0, false);
  CHECK((flags_like_cpu() & kFlagInvalidMomentum) != 0);
  overwrite(kF, -50.0, true);
  CHECK((flags_like_cpu() & kFlagInvalidMomentum) != 0);
  overwrite(kV, std::numeric_limits<double>::quiet_NaN(), false);
  CHECK((flags_like_cpu() & kFlagInvalidMomentum) != 0);
}
