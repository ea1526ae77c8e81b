// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/core/random.hpp"
#include "diffmpm/surface/metric.hpp"
#include "samples.hpp"

namespace diffmpm::surface {
namespace {

constexpr double kReach = 2.0;        // range of the repulsion, in sample spacings
constexpr double kStrength = 0.5;     // of the repulsion, in sample spacings
constexpr double kLongestMove = 0.4;  // per round, in sample spacings
constexpr double kFineSpacing =
    0.5;                          // in particle spacings; denser samples stay close enough to the surface that they are
constexpr int kProjectEvery = 4;  // projected only in every so many rounds
constexpr std::uint64_t kApart = 5;  // stream of random directions that separate coincident samples

// Metric at a sample and the search radius of its neighbours.
struct Ruler {
  Mat3<double> metric;
  double reach = 0;
  double most = 1;  // largest ratio of a length in the metric and in space: the stretch limit of Gaussians
};

Ruler ruler(const Body& body, const SurfaceParams& params, const Samples& s, std::int64_t i) {
  Ruler r{Mat3<double>::identity(), kReach * s.spacing, std::sqrt(params.stretch_limit)};
  const Mat3<double> F = regular_deformation(body, s.source[i]);
  const Vec3<double> normal = {{s.normal[i].x, s.normal[i].y, s.normal[i].z}};
  r.metric = surface_metric(F, normal);
  // The largest singular value of F is at most the root of the largest row sum of |F F^T|.
  const Mat3<double> stretch = mul_nt(F, F);
  double most = 0;
  for (int row = 0; row < 3; ++row)
    most = std::max(most, std::abs(stretch(row, 0)) + std::abs(stretch(row, 1)) + std::abs(stretch(row, 2)));
  r.reach *= std::clamp(std::sqrt(most * rest_area(F, normal)), 1.0, r.most);
  return r;
}

double length_in_metric(const Ruler& r, const Point& d, double squared) {
  const double* q = r.metric.m;  // symmetric
  const double length2 = q[0] * d.x * d.x + q[4] * d.y * d.y + q[8] * d.z * d.z +
                         2 * (q[1] * d.x * d.y + q[2] * d.x * d.z + q[5] * d.y * d.z);
  const double most2 = r.most * r.most;
  return std::sqrt(std::clamp(length2, squared / most2, squared * most2));
}

// Displacement of a sample in one round: away from its neighbours, along the tangent plane.
Point displacement(const Samples& s, const geometry::CellList& cells, const std::vector<Ruler>& rulers, std::int64_t i,
                   std::uint64_t seed) {
  const Point y = s.point(i), normal = s.normal[i];
  Point push;
  cells.visit_within(y, rulers[i].reach, [&](std::int32_t slot, double r2) {
    const std::int32_t j = cells.index(slot);
    if (j == i || !(dot(normal, s.normal[j]) > 0)) return;
    Point d = y - cells.point(slot);
    double distance = length_in_metric(rulers[i], d, r2);
    if (!(r2 > 0)) {
      const auto counter = static_cast<std::uint64_t>(i) << 1;
      d = {random_uniform(seed, counter, kApart) - 0.5, random_uniform(seed, counter + 1, kApart) - 0.5,
           random_uniform(seed, counter, kApart + 1) - 0.5};
      r2 = dot(d, d) + 1e-12, distance = 0;
    }
    const double away = 1 - distance / (kReach * s.spacing);
    if (away > 0) push = push + (away * away / std::sqrt(r2)) * d;
  });
  push = push - dot(push, normal) * normal;
  const double size = std::sqrt(dot(push, push)), most = kLongestMove / kStrength;
  return (kStrength * s.spacing * (size > most ? most / size : 1.0)) * push;
}

}  // namespace

void relax(const Body& body, const Field& field, const SurfaceParams& params, int rounds, std::uint64_t seed,
           Samples& s) {
  const std::int64_t count = s.count();
  std::vector<Ruler> rulers(count);
  std::vector<double> next(s.y.size());
  std::vector<double> on_surface = s.y;  // latest positions on the surface
  const int every = s.spacing < kFineSpacing * field.spacing() ? kProjectEvery : 1;
  for (int round = 0; round < rounds; ++round) {
    const geometry::CellList cells(s.y.data(), count, kReach * s.spacing);
    const bool project = (rounds - 1 - round) % every == 0;
    if (round == 0 || project) parallel_for(count, 256, [&](std::int64_t i) { rulers[i] = ruler(body, params, s, i); });
    parallel_for(count, 64, [&](std::int64_t i) {
      const Point y = s.point(i) + displacement(s, cells, rulers, i, seed);
      next[3 * i] = y.x, next[3 * i + 1] = y.y, next[3 * i + 2] = y.z;
    });
    s.y.swap(next);
    if (!project) continue;
    parallel_for(count, 64, [&](std::int64_t i) {
      Point y = s.point(i), normal;
      if (field.project(kExact, y, normal)) {
        s.normal[i] = normal;
        s.set(i, y);
      } else {
        std::copy(on_surface.begin() + 3 * i, on_surface.begin() + 3 * i + 3, s.y.begin() + 3 * i);
      }
    });
    on_surface = s.y;
  }
}

}  // namespace diffmpm::surface
