// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/backend.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <utility>
#include <vector>

#include "cuda/emulation.hpp"
#include "surface/carried_scene.hpp"
#include "surface/evaluate.cuh"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

// Bitwise equal if neither compiler fuses multiplication and addition.
template <class T>
constexpr double kTolerance = sizeof(T) == 8 ? 1e-14 : 1e-5;

template <class T>
double error(const std::vector<T>& actual, const std::vector<T>& expected) {
  double worst = 0, scale = 0;
  for (std::size_t n = 0; n < expected.size(); ++n) {
    const double difference = std::abs(double(actual[n]) - double(expected[n]));
    if (!(difference <= worst)) worst = difference;
    scale = std::max(scale, std::abs(double(expected[n])));
  }
  return scale > 0 ? worst / scale : worst;
}

template <class T>
struct Gradients {
  std::vector<T> x, F;
  double sigma0 = std::numeric_limits<double>::quiet_NaN();

  explicit Gradients(const CarriedScene<T>& scene)
      : x(scene.x.size(), std::numeric_limits<T>::quiet_NaN()), F(scene.F.size(), x[0]) {}
};

// With precomputed children, or with children computed in the call.
template <class T>
Gradients<T> device_vjp(const CarriedScene<T>& scene, const surface::GaussianArrays<const T>& adj, std::uint64_t seed,
                        bool children = false) {
  Gradients<T> g(scene);
  EmulatedQueue queue(seed);
  surface::BindingView<T> b = scene.view();
  std::vector<Index> start(static_cast<std::size_t>(scene.particles) + 1), child(scene.parent.size());
  if (children) {
    cuda::find_children_on(queue, b.particles, b.samples * b.parents, b.parent, start.data(), child.data());
    b.child_start = start.data(), b.child = child.data();
  }
  cuda::evaluate_vjp_on(queue, b, scene.x.data(), scene.F.data(), scene.sigma0, adj, g.x.data(), g.F.data(), &g.sigma0);
  return g;
}

template <class T>
void compare(const CarriedScene<T>& scene) {
  CAPTURE(scene.samples);
  CAPTURE(scene.parents);
  const surface::BindingView<T> b = scene.view();
  EmulatedQueue queue;
  GaussianValues<T> actual(scene.samples, scene.parents), expected = actual;
  backend<T>({}).surface.evaluate({}, b, scene.x.data(), scene.F.data(), scene.sigma0, expected.arrays());
  cuda::evaluate_on(queue, b, scene.x.data(), scene.F.data(), scene.sigma0, actual.arrays());
  CHECK(error(actual.means, expected.means) < kTolerance<T>);
  CHECK(error(actual.covars, expected.covars) < kTolerance<T>);
  CHECK(error(actual.normals, expected.normals) < kTolerance<T>);
  CHECK(error(actual.weights, expected.weights) < kTolerance<T>);

  const auto all = scene.adj.constants();
  using Adjoint = surface::GaussianArrays<const T>;
  for (const Adjoint& adj :
       {all, Adjoint{all.means}, Adjoint{nullptr, all.covars}, Adjoint{nullptr, nullptr, all.normals},
        Adjoint{nullptr, nullptr, nullptr, all.weights}, Adjoint{}}) {
    Gradients<T> cpu(scene);
    backend<T>({}).surface.evaluate_vjp({}, b, scene.x.data(), scene.F.data(), scene.sigma0, adj, cpu.x.data(),
                                        cpu.F.data(), &cpu.sigma0);
    const Gradients<T> device = device_vjp(scene, adj, 5);
    CHECK(error(device.x, cpu.x) < kTolerance<T>);
    CHECK(error(device.F, cpu.F) < kTolerance<T>);
    CHECK(device.sigma0 == doctest::Approx(cpu.sigma0).epsilon(kTolerance<T>));
  }
}

}  // namespace

TEST_CASE_TEMPLATE("an emulated surface and its adjoint match the CPU", T, float, double) {
  compare(CarriedScene<T>(1000, 300, 8));  // the last block of threads is not full
  compare(CarriedScene<T>(256, 700, 3));
  compare(CarriedScene<T>(50, 20, 32));
  compare(CarriedScene<T>(130, 1, 1));
  compare(CarriedScene<T>(1, 2, 2));
  compare(CarriedScene<T>(0, 40, 8));
}

TEST_CASE_TEMPLATE("the adjoint passes the dot-product test", T, float, double) {
  const CarriedScene<T> scene(600, 200, 6);
  const std::vector<T> along_x = numbers<T>(3 * scene.particles, 30), along_F = numbers<T>(9 * scene.particles, 31);
  const auto value = [&](double t) {
    // Differences need double precision, whatever the precision of the adjoint.
    CarriedScene<double> moved(scene.samples, scene.particles, scene.parents);
    for (std::size_t n = 0; n < along_x.size(); ++n) moved.x[n] = double(scene.x[n]) + t * double(along_x[n]);
    for (std::size_t n = 0; n < along_F.size(); ++n) moved.F[n] = double(scene.F[n]) + t * double(along_F[n]);
    GaussianValues<double> out(scene.samples, scene.parents);
    EmulatedQueue queue;
    cuda::evaluate_on(queue, moved.view(), moved.x.data(), moved.F.data(), double(scene.sigma0) + t, out.arrays());
    double sum = 0;
    for (const auto& [adj, values] :
         {std::pair{&moved.adj.means, &out.means}, std::pair{&moved.adj.covars, &out.covars},
          std::pair{&moved.adj.normals, &out.normals}, std::pair{&moved.adj.weights, &out.weights}})
      for (std::size_t n = 0; n < values->size(); ++n) sum += (*adj)[n] * (*values)[n];
    return sum;
  };
  const Gradients<T> g = device_vjp(scene, scene.adj.constants(), 1);
  double got = g.sigma0;
  for (std::size_t n = 0; n < along_x.size(); ++n) got += double(g.x[n]) * double(along_x[n]);
  for (std::size_t n = 0; n < along_F.size(); ++n) got += double(g.F[n]) * double(along_F[n]);
  constexpr double h = 1e-6;
  CHECK(got == doctest::Approx((value(h) - value(-h)) / (2 * h)).epsilon(sizeof(T) == 8 ? 1e-7 : 1e-4));
}

TEST_CASE_TEMPLATE("precomputed children and other thread orders give the same bits", T, float, double) {
  const CarriedScene<T> scene(1000, 300, 8);
  const Gradients<T> first = device_vjp(scene, scene.adj.constants(), 1);
  for (const std::uint64_t seed : {2, 3, 4}) {
    const Gradients<T> again = device_vjp(scene, scene.adj.constants(), seed, seed == 3);
    CHECK(again.x == first.x);
    CHECK(again.F == first.F);
    CHECK(again.sigma0 == first.sigma0);
  }
}

TEST_CASE("children match the CPU") {
  for (const auto& [samples, particles, parents] :
       {std::array{700, 90, 4}, std::array{0, 5, 3}, std::array{40, 1, 2}}) {
    const CarriedScene<float> scene(samples, particles, parents);
    const auto slots = static_cast<std::int64_t>(scene.parent.size());
    std::vector<Index> start(static_cast<std::size_t>(particles) + 1, -1), child(scene.parent.size(), -1);
    std::vector<Index> start_cpu = start, child_cpu = child;
    backend<float>({}).surface.find_children({}, particles, slots, scene.parent.data(), start_cpu.data(),
                                             child_cpu.data());
    EmulatedQueue queue;
    cuda::find_children_on(queue, particles, slots, scene.parent.data(), start.data(), child.data());
    CHECK(start == start_cpu);
    CHECK(child == child_cpu);
  }
}

TEST_CASE("no two threads of a block write the same shared memory") {
  const CarriedScene<double> scene(300, 50, 4);
  Gradients<double> expected(scene);
  backend<double>({}).surface.evaluate_vjp({}, scene.view(), scene.x.data(), scene.F.data(), scene.sigma0,
                                           scene.adj.constants(), expected.x.data(), expected.F.data(),
                                           &expected.sigma0);
  std::vector<surface::ParentAdjoint<double>> slots(scene.parent.size());
  std::vector<double> sums(3);
  const cuda::SampleAdjoint<double> sample{scene.view(), scene.x.data(),        scene.F.data(),
                                           scene.sigma0, scene.adj.constants(), slots.data()};
  emulate<cuda::SumTerms<cuda::SampleAdjoint<double>>>(3, {scene.samples, cuda::kThreads, sample, sums.data()}, 1,
                                                       true);
  CHECK(sums[0] + sums[1] + sums[2] == doctest::Approx(expected.sigma0).epsilon(kTolerance<double>));
}
