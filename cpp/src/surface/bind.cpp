// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/surface/interpolate.hpp"
#include "diffmpm/surface/metric.hpp"
#include "diffmpm/surface/surface.hpp"
#include "samples.hpp"

namespace diffmpm::surface {
namespace {

// Rounds of relaxation after an update: enough to make room for new samples, few enough to keep the others in place.
constexpr int kRoundsOfUpdate = 3;
constexpr double kSearchRadius = 1.6;   // initial, in the search for parents, in spacings
constexpr double kSupportMargin = 1.1;  // least support over the distance of the farthest parent
constexpr double kSpacingRadius = 3.0;  // of the neighbourhood that gives the local spacing of samples, in spacings

// Parents, offsets (both written to the arrays of the binding) and support of a sample at y.
SampleRest<double> find_parents(const Field& field, const SurfaceParams& params, const Point& y,
                                SampleParents<double>& parents, std::int32_t* particles, Vec3<double>* offsets) {
  std::int32_t slots[kMaxParents];
  double squared[kMaxParents];
  const std::int64_t count = field.cells().nearest(y, params.parents, kSearchRadius * field.spacing(), slots, squared);
  parents.index = particles;
  SampleRest<double> rest;
  rest.count = static_cast<int>(count), rest.r = offsets;
  rest.support = std::max(params.weight_radius * field.spacing(), kSupportMargin * std::sqrt(squared[count - 1]));
  for (int k = 0; k < rest.count; ++k) {
    particles[k] = field.cells().index(slots[k]);
    offsets[k] = mul(inverse(parents.F(k)), Vec3<double>{{y.x, y.y, y.z}} - parents.x(k));
  }
  return rest;
}

// Rest normal and rest covariance of a sample with outward normal n and local spacing `spacing`.
void find_axes(const SurfaceParams& params, const Point& n, double spacing, const SampleParents<double>& parents,
               SampleRest<double>& rest) {
  const Vec3<double> normal = {{n.x, n.y, n.z}};
  double w[kMaxParents];
  SampleState<double> state;
  SampleSaved<double> saved;
  rest.axes = Mat3<double>::identity(), rest.normal = normal, state.w = w;
  interpolate(rest, parents, 1.0, state, saved);
  Mat3<double> F = saved.F;
  if (!(determinant(F) > 0)) F = Mat3<double>::identity();
  rest.normal = rest_normal(F, normal);
  rest.axes = (spacing * std::sqrt(rest_area(F, normal))) *
              mul(mul(inverse(F), mul(limit_stretch(F, normal, params.stretch_limit), F)),
                  flattened(rest.normal, params.flatness));
}

}  // namespace

Binding bind(const Body& body, std::int64_t samples, std::uint64_t seed, const SurfaceParams& params,
             const Carried* carried) {
  const Field field(body.x, body.count, params);
  Binding b;
  b.outer = field.outer();
  Samples s = draw(body, field, b.outer, samples, seed, carried);
  relax(body, field, params, carried ? std::min(params.relaxation, kRoundsOfUpdate) : params.relaxation, seed, s);
  if (params.smoothing > 0) refine(field, params.smoothing * field.spacing(), s);
  const std::vector<double> density = area_density(s, s, kSpacingRadius * s.spacing);
  b.samples = samples;
  b.parents = static_cast<int>(std::min<std::int64_t>(params.parents, body.count));
  b.spacing = field.spacing();
  b.parent.resize(samples * b.parents), b.offset.resize(3 * samples * b.parents), b.support.resize(samples);
  b.axes.resize(9 * samples), b.normal.resize(3 * samples), b.kept = s.kept;
  // A parent with a singular F carries its samples by translation.
  std::vector<Mat3<double>> regular(body.count);
  parallel_for(body.count, 256, [&](std::int64_t p) { regular[p] = regular_deformation(body, p); });
  parallel_for(samples, 64, [&](std::int64_t i) {
    SampleParents<double> parents{nullptr, reinterpret_cast<const Vec3<double>*>(body.x), regular.data()};
    SampleRest<double> rest = find_parents(field, params, s.point(i), parents, b.parent.data() + i * b.parents,
                                           reinterpret_cast<Vec3<double>*>(b.offset.data()) + i * b.parents);
    find_axes(params, s.normal[i], 1 / std::sqrt(density[i]), parents, rest);
    b.support[i] = rest.support;
    std::copy(rest.axes.m, rest.axes.m + 9, b.axes.begin() + 9 * i);
    std::copy(rest.normal.c, rest.normal.c + 3, b.normal.begin() + 3 * i);
  });
  return b;
}

void outer_particles(const Body& body, const SurfaceParams& params, std::uint8_t* flags) {
  const std::vector<std::uint8_t> outer = Field(body.x, body.count, params).outer();
  std::copy(outer.begin(), outer.end(), flags);
}

}  // namespace diffmpm::surface
