// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/backend.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <vector>

#include "cuda/emulation.hpp"
#include "diffmpm/losses/grid_mass.hpp"
#include "diffmpm/losses/skin.hpp"
#include "diffmpm/mpm/grid_mass.hpp"
#include "losses/losses.cuh"
#include "losses/transport.cuh"
#include "mpm/backend.cuh"
#include "mpm/scene.hpp"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

// Measured 2e-15 and 5e-7 of the largest value, times 2 and 4: other weight polynomials, another summation order.
template <class T>
constexpr double kTolerance = sizeof(T) == 8 ? 4e-15 : 2e-6;

template <class T>
double error(const std::vector<T>& a, const std::vector<T>& b) {
  double worst = 0, scale = 0;
  for (std::size_t n = 0; n < b.size(); ++n) {
    const double difference = std::abs(double(a[n]) - double(b[n]));
    if (!(difference <= worst)) worst = difference;
    scale = std::max(scale, std::abs(double(b[n])));
  }
  return worst / scale;
}

template <class T>
using Emulated = cuda::DeviceBackend<T, EmulatedQueue>;

}  // namespace

TEST_CASE_TEMPLATE("the grid mass and its adjoint match the CPU", T, float, double) {
  const Scene<T> scene(1500);
  for (const Basis basis : {Basis::quadratic, Basis::cubic}) {
    MpmParams params = scene_params(basis);
    params.dims[0] = 11, params.dims[2] = 14;  // blocks that extend beyond the grid
    const std::size_t nodes = 11 * 12 * 14;
    std::vector<T> given(nodes, T(-1)), expected(nodes);
    const MpmFunctions<T>& cpu = backend<T>({}).mpm;
    cpu.grid_mass({}, params, scene.count, scene.x.data(), scene.mass.data(), expected.data());
    MassTransfer<Emulated<T>> transfer(params, scene.count, scene.x.data(), scene.mass.data(),
                                       {params, EmulatedQueue()});
    transfer.forward(given.data());
    CHECK(error(given, expected) < kTolerance<T>);

    std::vector<T> adj(nodes), x(scene.size(3)), mass(scene.size(1)), x_cpu = x, mass_cpu = mass;
    for (std::size_t n = 0; n < nodes; ++n) adj[n] = T(2 * random_uniform(1, n, 7) - 1);
    cpu.grid_mass_vjp({}, params, scene.count, scene.x.data(), scene.mass.data(), adj.data(), x_cpu.data(),
                      mass_cpu.data());
    transfer.vjp(adj.data(), x.data(), mass.data());
    CHECK(error(x, x_cpu) < kTolerance<T>);
    CHECK(error(mass, mass_cpu) < kTolerance<T>);
  }
}

TEST_CASE("a particle outside the grid adds no mass") {
  Scene<double> scene;
  scene.x[3 * 11] = -1.0;
  const MpmParams params = scene_params(Basis::cubic);
  using Transfer = MassTransfer<Emulated<double>>;
  CHECK_THROWS_WITH_AS(
      Transfer(params, scene.count, scene.x.data(), scene.mass.data(), Emulated<double>(params, EmulatedQueue())),
      "particle 11 left the grid in step 0", StepError);
}

TEST_CASE_TEMPLATE("losses of distances match the CPU", T, float, double) {
  const std::int64_t count = 700, points = 500;
  std::vector<T> x, y, field, m(11 * 12 * 13), target = m;
  for (std::uint64_t n = 0; n < 3 * count; ++n) x.push_back(T(random_uniform(1, n, 1)));
  for (std::uint64_t n = 0; n < 3 * points; ++n) y.push_back(T(1.4 * random_uniform(1, n, 2)));
  for (std::uint64_t n = 0; n < 4 * 5 * 6; ++n) field.push_back(T(random_uniform(1, n, 3) - 0.3));
  for (std::uint64_t n = 0; n < m.size(); ++n) {
    m[n] = n % 3 == 0 ? T(0) : T(random_uniform(1, n, 4));
    target[n] = n % 2 == 0 || n < 300 ? T(0) : T(random_uniform(1, n, 5));
  }
  const LossFunctions<T>& cpu = backend<T>({}).losses;
  std::vector<T> adj(x.size(), T(-1)), expected_adj = adj;
  double expected = 0, value = 0;
  for (const int seed : {1, 2}) {  // two orders of the threads
    EmulatedQueue queue(seed);
    cpu.proximity({}, count, x.data(), points, y.data(), T(0.1), T(0.5), expected_adj.data(), &expected);
    cuda::proximity_loss_on(queue, count, x.data(), points, y.data(), T(0.1), T(0.5), adj.data(), &value);
    CHECK(value == doctest::Approx(expected).epsilon(kTolerance<T>));
    CHECK(error(adj, expected_adj) < kTolerance<T>);

    const FieldGrid<T> grid{{4, 5, 6}, {T(0.1), T(0.1), T(0.2)}, T(0.17), field.data()};
    cpu.skin({}, count, x.data(), grid, T(0.2), expected_adj.data(), &expected);
    skin_loss_on(queue, count, x.data(), grid, T(0.2), adj.data(), &value);
    CHECK(value == doctest::Approx(expected).epsilon(kTolerance<T>));
    CHECK(error(adj, expected_adj) < kTolerance<T>);

    TransportOptions options{{11, 12, 13}, 400, 1, 3};
    std::vector<T> dual(m.size()), dual_cpu = dual, adj_m = dual, adj_m_cpu = dual;
    cpu.transport({}, options, m.data(), target.data(), dual_cpu.data(), adj_m_cpu.data(), &expected);
    cuda::transport_loss_on(queue, options, m.data(), target.data(), dual.data(), adj_m.data(), &value);
    CHECK(value == doctest::Approx(expected).epsilon(10 * kTolerance<T>));
    CHECK(error(adj_m, adj_m_cpu) < 50 * kTolerance<T>);  // errors of exponents up to 50
    CHECK(error(dual, dual_cpu) < 50 * kTolerance<T>);
    cpu.transport({}, options, m.data(), nullptr, dual_cpu.data(), adj_m_cpu.data(), &expected);
    cuda::transport_loss_on(queue, options, m.data(), static_cast<const T*>(nullptr), dual.data(), adj_m.data(),
                            &value);
    CHECK(value == doctest::Approx(expected).epsilon(10 * kTolerance<T>));
  }
}

TEST_CASE_TEMPLATE("losses match the CPU", T, float, double) {
  EmulatedQueue queue;
  const std::int64_t count = 10000;  // more than two chunks, the last one not full
  std::vector<T> m, target, adj(count, T(-1)), adj_cpu(count);
  for (std::uint64_t n = 0; n < count; ++n) {
    m.push_back(n % 3 == 0 ? T(0) : T(random_uniform(1, n, 1)));
    target.push_back(n % 2 == 0 ? T(0) : T(random_uniform(1, n, 2)));
  }
  const LossFunctions<T>& cpu = backend<T>({}).losses;
  double expected = 0, value = 0;
  for (const MassLoss loss : {MassLoss::log, MassLoss::squared}) {
    cpu.grid_mass({}, loss, count, m.data(), target.data(), T(0.3), T(2), adj_cpu.data(), &expected);
    grid_mass_loss_on(queue, loss, count, m.data(), target.data(), T(0.3), T(2), adj.data(), &value);
    CHECK(value == doctest::Approx(expected).epsilon(kTolerance<T>));
    CHECK(error(adj, adj_cpu) < kTolerance<T>);
  }
  const Scene<T> scene(3000);
  std::vector<T> adj_v(scene.size(3)), adj_v_cpu = adj_v;
  cpu.kinetic({}, scene.count, scene.v.data(), adj_v_cpu.data(), &expected);
  kinetic_loss_on(queue, scene.count, scene.v.data(), adj_v.data(), &value);
  CHECK(value == doctest::Approx(expected).epsilon(kTolerance<T>));
  CHECK(error(adj_v, adj_v_cpu) < kTolerance<T>);
}
