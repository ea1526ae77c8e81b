// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/backend.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <tuple>
#include <vector>

#include "surface/carried_scene.hpp"

using namespace diffmpm;
using namespace diffmpm::surface;
using namespace diffmpm::testing;

namespace {

const SurfaceFunctions<double>& kSurface = backend<double>({}).surface;

double product(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t n = 0; n < a.size(); ++n) sum += a[n] * b[n];
  return sum;
}

// <adj, Gaussians> of the scene displaced by t along random directions in x, F and sigma0.
double value(CarriedScene<double> scene, double t) {
  const std::vector<double> along_x = numbers<double>(3 * scene.particles, 30),
                            along_F = numbers<double>(9 * scene.particles, 31);
  for (std::size_t n = 0; n < along_x.size(); ++n) scene.x[n] += t * along_x[n];
  for (std::size_t n = 0; n < along_F.size(); ++n) scene.F[n] += t * along_F[n];
  GaussianValues<double> out(scene.samples, scene.parents);
  kSurface.evaluate({}, scene.view(), scene.x.data(), scene.F.data(), scene.sigma0 + t, out.arrays());
  return product(scene.adj.means, out.means) + product(scene.adj.covars, out.covars) +
         product(scene.adj.normals, out.normals) + product(scene.adj.weights, out.weights);
}

}  // namespace

TEST_CASE("the adjoint of an evaluation agrees with central differences") {
  const CarriedScene<double> scene(1500, 300, 5);
  std::vector<double> adj_x(scene.x.size(), -1.0), adj_F(scene.F.size(), -1.0);
  double adj_sigma0 = 0;
  kSurface.evaluate_vjp({}, scene.view(), scene.x.data(), scene.F.data(), scene.sigma0, scene.adj.constants(),
                        adj_x.data(), adj_F.data(), &adj_sigma0);
  const double derivative = product(adj_x, numbers<double>(3 * scene.particles, 30)) +
                            product(adj_F, numbers<double>(9 * scene.particles, 31)) + adj_sigma0;
  constexpr double h = 1e-6;
  CHECK(derivative == doctest::Approx((value(scene, h) - value(scene, -h)) / (2 * h)).epsilon(1e-7));
  for (std::size_t p = 3; p < static_cast<std::size_t>(scene.particles); p += 4) CHECK(adj_x[3 * p] == 0);
}

TEST_CASE("children are the inverse of parents, in order, and give the same adjoint") {
  const CarriedScene<double> scene(700, 90, 4);
  const auto slots = static_cast<std::int64_t>(scene.parent.size());
  std::vector<std::int32_t> start(static_cast<std::size_t>(scene.particles) + 1, -1), child(scene.parent.size(), -1);
  kSurface.find_children({}, scene.particles, slots, scene.parent.data(), start.data(), child.data());
  CHECK(start.front() == 0);
  CHECK(start.back() == slots);
  for (std::size_t p = 0; p < static_cast<std::size_t>(scene.particles); ++p)
    for (std::int32_t n = start[p]; n < start[p + 1]; ++n) {
      const auto at = static_cast<std::size_t>(n);
      CHECK(scene.parent[child[at]] == static_cast<std::int32_t>(p));
      if (n > start[p]) CHECK(child[at] > child[at - 1]);
    }
  std::vector<double> adj_x(scene.x.size()), adj_F(scene.F.size()), other_x = adj_x, other_F = adj_F;
  BindingView<double> known = scene.view();
  known.child_start = start.data(), known.child = child.data();
  for (const auto& [binding, to_x, to_F] :
       {std::tuple{scene.view(), &adj_x, &adj_F}, std::tuple{known, &other_x, &other_F}})
    kSurface.evaluate_vjp({}, binding, scene.x.data(), scene.F.data(), scene.sigma0, scene.adj.constants(),
                          to_x->data(), to_F->data(), nullptr);
  CHECK(adj_x == other_x);
  CHECK(adj_F == other_F);
}

TEST_CASE("absent cotangents count as zero, and a binding without samples has no gradient") {
  CarriedScene<double> scene(40, 30, 3);
  std::vector<double> adj_x(scene.x.size(), -1.0), adj_F(scene.F.size(), -1.0);
  double adj_sigma0 = -1;
  kSurface.evaluate_vjp({}, scene.view(), scene.x.data(), scene.F.data(), scene.sigma0, {}, adj_x.data(), adj_F.data(),
                        &adj_sigma0);
  CHECK(adj_sigma0 == 0);
  CHECK(adj_x == std::vector<double>(scene.x.size(), 0.0));
  CHECK(adj_F == std::vector<double>(scene.F.size(), 0.0));
  scene = CarriedScene<double>(0, 30, 3);
  adj_x.assign(scene.x.size(), -1.0);
  adj_sigma0 = -1;
  kSurface.evaluate_vjp({}, scene.view(), scene.x.data(), scene.F.data(), scene.sigma0, scene.adj.constants(),
                        adj_x.data(), adj_F.data(), &adj_sigma0);
  CHECK(adj_sigma0 == 0);
  CHECK(adj_x == std::vector<double>(scene.x.size(), 0.0));
}
