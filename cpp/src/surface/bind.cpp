// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstddef>

#include "diffmpm/core/threads.hpp"
#include "diffmpm/surface/interpolate.hpp"
#include "diffmpm/surface/metric.hpp"
#include "diffmpm/surface/surface.hpp"
#include "samples.hpp"

namespace diffmpm::surface {
namespace {

// Rounds after samples were carried over: enough to make room for new ones, few enough to stay in place.
constexpr int kRoundsOfUpdate = 3;
constexpr double kSearchRadius = 1.6;   // first search for parents, in spacings
constexpr double kSupportMargin = 1.1;  // the support reaches beyond the farthest parent by this factor
constexpr double kSpacingRadius = 3.0;  // samples within so many spacings tell the local one

struct Anchored {
  SampleRest<double> rest;
  SampleParents<double> parents;
  SampleState<double> state;
  SampleSaved<double> saved;
};

// Parents, offsets and support of a sample at y; a parent without regular F carries it by translation.
void find_parents(const Body& body, const Field& field, const SurfaceParams& params, const Point& y, Anchored& a,
                  std::int32_t* particles) {
  std::int32_t slots[kMaxParents];
  double squared[kMaxParents];
  const std::int64_t found = field.cells().nearest(y, params.parents, kSearchRadius * field.spacing(), slots, squared);
  a.rest.count = static_cast<int>(found);
  a.rest.support = std::max(params.weight_radius * field.spacing(), kSupportMargin * std::sqrt(squared[found - 1]));
  for (int k = 0; k < a.rest.count; ++k) {
    const std::int32_t p = field.cells().index(slots[k]);
    particles[k] = p;
    const Mat3<double> F = regular_deformation(body, p);
    a.parents.x[k] = {{body.x[3 * p], body.x[3 * p + 1], body.x[3 * p + 2]}};
    a.parents.F[k] = F;
    a.rest.r[k] = mul(inverse(F), Vec3<double>{{y.x, y.y, y.z}} - a.parents.x[k]);
  }
}

// Rest normal and rest covariance of a sample with outward normal n that has a square of edge `spacing` for itself.
void find_axes(const SurfaceParams& params, const Point& n, double spacing, Anchored& a) {
  const Vec3<double> normal = {{n.x, n.y, n.z}};
  a.rest.axes = Mat3<double>::identity();
  a.rest.normal = normal;
  interpolate(a.rest, a.parents, 1.0, a.state, a.saved);
  Mat3<double> F = a.saved.F;
  if (!(determinant(F) > 0)) F = Mat3<double>::identity();
  a.rest.normal = rest_normal(F, normal);
  a.rest.axes = (spacing * std::sqrt(rest_area(F, normal))) *
                mul(mul(inverse(F), mul(limit_stretch(F, normal, params.stretch_limit), F)),
                    flattened(a.rest.normal, params.flatness));
}

}  // namespace

Binding bind(const Body& body, std::int64_t samples, std::uint64_t seed, const SurfaceParams& params,
             const Carried* carried) {
  const Field field(body.x, body.count, params);
  Samples s = draw(body, field, samples, seed, carried);
  relax(body, field, params, carried ? std::min(params.relaxation, kRoundsOfUpdate) : params.relaxation, seed, s);
  if (params.smoothing > 0) refine(field, params.smoothing * field.spacing(), s);
  const std::vector<double> density = area_density(s, s, kSpacingRadius * s.spacing);
  Binding b;
  const auto count = static_cast<std::size_t>(samples);
  b.samples = samples;
  b.parents = static_cast<int>(std::min<std::int64_t>(params.parents, body.count));
  b.spacing = field.spacing();
  b.parent.resize(count * b.parents), b.offset.resize(3 * count * b.parents), b.support.resize(count);
  b.axes.resize(9 * count), b.normal.resize(3 * count), b.kept = s.kept;
#pragma omp parallel for schedule(dynamic, 256) num_threads(thread_count())
  for (std::int64_t i = 0; i < samples; ++i) {
    const auto n = static_cast<std::size_t>(i);
    Anchored a;
    find_parents(body, field, params, s.point(i), a, b.parent.data() + i * b.parents);
    find_axes(params, s.normal[n], 1 / std::sqrt(density[n]), a);
    b.support[n] = a.rest.support;
    for (int k = 0; k < b.parents; ++k)
      std::copy(a.rest.r[k].c, a.rest.r[k].c + 3, b.offset.begin() + 3 * (i * b.parents + k));
    std::copy(a.rest.axes.m, a.rest.axes.m + 9, b.axes.begin() + 9 * i);
    std::copy(a.rest.normal.c, a.rest.normal.c + 3, b.normal.begin() + 3 * i);
  }
  return b;
}

void outer_particles(const Body& body, const SurfaceParams& params, std::uint8_t* flags) {
  const std::vector<std::uint8_t> outer = Field(body.x, body.count, params).outer();
  std::copy(outer.begin(), outer.end(), flags);
}

double fill_fraction(const Body& body, const SurfaceParams& params, const double* points, std::int64_t count,
                     double* fill, double* gradient) {
  const Field field(body.x, body.count, params);
#pragma omp parallel for schedule(dynamic, 256) num_threads(thread_count())
  for (std::int64_t i = 0; i < count; ++i) {
    const Fill f = field.at({points[3 * i], points[3 * i + 1], points[3 * i + 2]});
    fill[i] = f.value;
    gradient[3 * i] = f.gradient.x, gradient[3 * i + 1] = f.gradient.y, gradient[3 * i + 2] = f.gradient.z;
  }
  return field.spacing();
}

}  // namespace diffmpm::surface
