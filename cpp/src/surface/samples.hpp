// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "diffmpm/math/mat3.hpp"
#include "diffmpm/surface/surface.hpp"
#include "field.hpp"

namespace diffmpm::surface {

inline constexpr double kExact = 0.02;  // tolerance of a projection that stays, in particle spacings

// Points on the surface while they are drawn and relaxed.
struct Samples {
  std::vector<double> y;             // (M, 3) [m]
  std::vector<Point> normal;         // outward, unit
  std::vector<std::int32_t> source;  // particle that emitted the sample and whose F defines its metric
  std::vector<std::uint8_t> kept;    // 1: carried over from an earlier frame
  double spacing = 0;                // square root of the area per sample [m]

  std::int64_t count() const { return static_cast<std::int64_t>(normal.size()); }
  Point point(std::int64_t i) const { return {y[3 * i], y[3 * i + 1], y[3 * i + 2]}; }
  void set(std::int64_t i, const Point& p) { y[3 * i] = p.x, y[3 * i + 1] = p.y, y[3 * i + 2] = p.z; }
  void resize(std::int64_t n);
};

// Number of samples `of` per area [1/m^2] around each sample `at`, counting only those on the same side of the body.
std::vector<double> area_density(const Samples& at, const Samples& of, double radius);

// Draws exactly `count` samples on the surface, emitted from the particles flagged by `outer`.
Samples draw(const Body& body, const Field& field, const std::vector<std::uint8_t>& outer, std::int64_t count,
             std::uint64_t seed, const Carried* carried);

// Moves the samples along the surface until they are evenly spaced in the metric of surface_metric.
void relax(const Body& body, const Field& field, const SurfaceParams& params, int rounds, std::uint64_t seed,
           Samples& samples);

// Moves the samples along their normals onto quadratic patches of the given radius [m], which removes the noise of the particle
// positions, and corrects for the blur of the kernel. Updates the normals.
void refine(const Field& field, double radius, Samples& samples);

// F of a particle, or the identity if it is singular or inverted.
Mat3<double> regular_deformation(const Body& body, std::int64_t particle);

}  // namespace diffmpm::surface
