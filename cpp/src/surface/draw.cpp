// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <stdexcept>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/core/random.hpp"
#include "diffmpm/math/polar3.hpp"
#include "diffmpm/surface/interpolate.hpp"
#include "diffmpm/surface/kernel.hpp"
#include "samples.hpp"

namespace diffmpm::surface {
namespace {

// Candidates per sample: enough to choose from where particles are sparse. An update only fills gaps.
constexpr double kCandidates = 1.4;
constexpr double kCandidatesOfUpdate = 1.2;
constexpr int kRounds = 12;              // most emissions; each doubles the number of candidates
constexpr double kEmissionRadius = 0.9;  // in spacings, so that candidates of neighbours overlap
constexpr double kDensityRadius = 3.0;   // of area_density, in sample spacings,
constexpr double kDensityLeast = 0.8;    // but at least this, in particle spacings
constexpr double kCrowded = 1.5;         // carried samples are thinned above this multiple of the target density
constexpr double kBare = 0.5;            // area is bare if it lacks more than this fraction of the target density
constexpr double kLeastWeight = 1e-3;    // of a candidate where carried samples are dense enough
constexpr double kRough = 0.15;          // tolerance of the projection of a candidate, which is relaxed later
// F is singular if its determinant is below this fraction of |F|^3.
constexpr double kSingular = 1e-6;

// Streams of random numbers.
constexpr std::uint64_t kBall = 0, kRace = 3, kStay = 4;

// Random counter of a candidate, from particle and repetition, so that it does not depend on other candidates.
std::uint64_t counter_of(std::int32_t particle, std::int64_t repetition) {
  return static_cast<std::uint64_t>(repetition) << 32 | static_cast<std::uint32_t>(particle);
}

// Candidates emitted from the outer particles. Those with the smallest race over weight are a weighted random choice.
struct Candidates {
  Samples samples;
  std::vector<double> race;  // -log of a uniform number
  std::int64_t sources = 0;  // number of outer particles
};

// Emits candidates `first` to `last` of each source, in directions that rotate with the body, and appends those that reach the
// surface.
void emit(const Body& body, const Field& field, const std::vector<std::int32_t>& sources, std::int64_t first,
          std::int64_t last, std::uint64_t seed, Candidates& out) {
  const auto per_source = last - first, total = per_source * static_cast<std::int64_t>(sources.size());
  Samples all;
  all.resize(total);
  std::vector<std::uint8_t> projected(total);
  parallel_for(total, 64, [&](std::int64_t n) {
    const std::int32_t p = sources[n / per_source];
    Vec3<double> b;
    random_in_ball(seed, counter_of(p, first + n % per_source), kBall, b.c);
    const Mat3<double> R = polar_rotation(regular_deformation(body, p));
    const Vec3<double> d = (kEmissionRadius * field.spacing()) * mul(R, b);
    Point y = {body.x[3 * p] + d[0], body.x[3 * p + 1] + d[1], body.x[3 * p + 2] + d[2]};
    projected[n] = field.project(kRough, y, all.normal[n]);
    all.set(n, y);
  });
  for (std::int64_t n = 0; n < total; ++n) {
    if (!projected[n]) continue;
    const std::int32_t p = sources[n / per_source];
    const Point y = all.point(n);
    out.samples.y.insert(out.samples.y.end(), {y.x, y.y, y.z});
    out.samples.normal.push_back(all.normal[n]);
    out.samples.source.push_back(p);
    out.samples.kept.push_back(0);
    out.race.push_back(-std::log(1 - random_uniform(seed, counter_of(p, first + n % per_source), kRace)));
  }
}

// About `count` candidates, and at least `least`.
Candidates candidates(const Body& body, const Field& field, const std::vector<std::uint8_t>& outer, std::int64_t count,
                      std::int64_t least, std::uint64_t seed) {
  std::vector<std::int32_t> sources;
  for (std::int64_t p = 0; p < body.count; ++p)
    if (outer[p]) sources.push_back(static_cast<std::int32_t>(p));
  Candidates out;
  if (!sources.empty()) {
    const auto n = static_cast<std::int64_t>(sources.size());
    out.sources = n;
    std::int64_t first = 0, last = std::max<std::int64_t>(1, (count + n - 1) / n);
    for (int round = 0; round < kRounds && out.samples.count() < least; ++round) {
      emit(body, field, sources, first, last, seed, out);
      first = last, last *= 2;
    }
  }
  if (out.samples.count() < least)
    throw std::invalid_argument("x: expected particles that fill a solid, got none with a surface around them");
  return out;
}

// Indices of the `count` smallest keys, ascending.
std::vector<std::int64_t> smallest(const std::vector<double>& keys, std::int64_t count) {
  std::vector<std::int64_t> order(keys.size());
  std::iota(order.begin(), order.end(), 0);
  const auto less = [&](std::int64_t a, std::int64_t b) {
    const double ka = keys[a], kb = keys[b];
    return ka != kb ? ka < kb : a < b;
  };
  if (count < static_cast<std::int64_t>(order.size()))
    std::nth_element(order.begin(), order.begin() + count, order.end(), less);
  order.resize(count);
  std::sort(order.begin(), order.end());
  return order;
}

double density_radius(const Field& field, double sample_spacing) {
  return std::max(kDensityRadius * sample_spacing, kDensityLeast * field.spacing());
}

Samples select(const Samples& from, const std::vector<std::int64_t>& indices) {
  Samples to;
  to.resize(static_cast<std::int64_t>(indices.size()));
  for (std::int64_t n = 0; n < to.count(); ++n) {
    const std::int64_t i = indices[n];
    to.set(n, from.point(i));
    to.normal[n] = from.normal[i], to.source[n] = from.source[i], to.kept[n] = from.kept[i];
  }
  return to;
}

// Carried samples projected onto the surface, in their order; kept = 0 where there is no surface nearby.
Samples carry_over(const Field& field, const Carried& carried, std::int64_t count) {
  Samples s;
  s.resize(count);
  std::copy(carried.means, carried.means + 3 * count, s.y.begin());
  parallel_for(count, 64, [&](std::int64_t i) {
    Point y = s.point(i);
    std::int32_t slot;
    double squared;
    s.kept[i] = field.project(kExact, y, s.normal[i]) ? 1 : 0;
    s.set(i, y);
    field.cells().nearest(y, 1, 2 * field.spacing(), &slot, &squared);
    s.source[i] = field.cells().index(slot);
  });
  return s;
}

// Indices of the samples with this value of `kept`.
std::vector<std::int64_t> indices_where(const Samples& s, bool kept) {
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < s.count(); ++i)
    if ((s.kept[i] != 0) == kept) indices.push_back(i);
  return indices;
}

// Drops carried samples where they are crowded, and more of them, the most crowded first, until `needed` samples are free.
void thin(const Field& field, double spacing, double needed, std::uint64_t seed, Samples& s) {
  const std::vector<std::int64_t> indices = indices_where(s, true);
  const Samples carried = select(s, indices);
  std::vector<double> crowd = area_density(carried, carried, density_radius(field, spacing));
  std::int64_t room = 0;
  for (std::size_t n = 0; n < indices.size(); ++n) {
    crowd[n] *= random_uniform(seed, static_cast<std::uint64_t>(indices[n]), kStay) * spacing * spacing / kCrowded;
    room += crowd[n] < 1;
  }
  const auto most = static_cast<std::int64_t>(std::max(0.0, static_cast<double>(s.count()) - needed));
  std::fill(s.kept.begin(), s.kept.end(), std::uint8_t{0});
  for (const std::int64_t n : smallest(crowd, std::min(room, most))) s.kept[indices[n]] = 1;
}

// Fraction of the target density that the kept samples lack at each candidate.
std::vector<double> lacking(const Field& field, const Candidates& fresh, double spacing, const Samples& s) {
  std::vector<double> lack =
      area_density(fresh.samples, select(s, indices_where(s, true)), density_radius(field, spacing));
  for (double& d : lack) d = std::max(0.0, 1 - d * spacing * spacing);
  return lack;
}

// Carries samples over and replaces those that are dropped by candidates from areas where samples are sparse.
Samples renew(const Field& field, const Carried& carried, std::int64_t count, std::uint64_t seed, double spacing,
              const std::vector<double>& density, Candidates& fresh) {
  Samples s = carry_over(field, carried, count);
  std::vector<double> lack = lacking(field, fresh, spacing, s);
  double bare = 0;  // bare area
  for (std::size_t n = 0; n < lack.size(); ++n)
    if (lack[n] > kBare) bare += lack[n] / density[n];
  thin(field, spacing, bare / (spacing * spacing), seed, s);
  lack = lacking(field, fresh, spacing, s);
  for (std::size_t n = 0; n < lack.size(); ++n) fresh.race[n] *= density[n] / std::max(kLeastWeight, lack[n]);
  const std::vector<std::int64_t> open = indices_where(s, false);
  const std::vector<std::int64_t> chosen = smallest(fresh.race, static_cast<std::int64_t>(open.size()));
  for (std::size_t n = 0; n < open.size(); ++n) {
    const std::int64_t to = open[n], from = chosen[n];
    s.set(to, fresh.samples.point(from));
    s.normal[to] = fresh.samples.normal[from], s.source[to] = fresh.samples.source[from];
  }
  return s;
}

}  // namespace

void Samples::resize(std::int64_t n) { y.resize(3 * n), normal.resize(n), source.resize(n), kept.resize(n); }

Mat3<double> regular_deformation(const Body& body, std::int64_t particle) {
  Mat3<double> F;
  std::copy(body.F + 9 * particle, body.F + 9 * particle + 9, F.m);
  const double size = contract(F, F);
  return determinant(F) > kSingular * size * std::sqrt(size) ? F : Mat3<double>::identity();
}

std::vector<double> area_density(const Samples& at, const Samples& of, double radius) {
  const geometry::CellList cells(of.y.data(), of.count(), radius);
  const double inverse = 1 / (radius * radius), scale = disc_density(inverse);
  std::vector<double> density(at.count(), 0.0);
  parallel_for(at.count(), 64, [&](std::int64_t i) {
    const Point n = at.normal[i];
    double sum = 0;
    cells.visit_within(at.point(i), radius, [&](std::int32_t slot, double r2) {
      if (dot(n, of.normal[cells.index(slot)]) > 0) sum += weight_kernel(r2 * inverse);
    });
    density[i] = scale * sum;
  });
  return density;
}

Samples draw(const Body& body, const Field& field, const std::vector<std::uint8_t>& outer, std::int64_t count,
             std::uint64_t seed, const Carried* carried) {
  const double factor = carried ? kCandidatesOfUpdate : kCandidates;
  Candidates fresh =
      candidates(body, field, outer, static_cast<std::int64_t>(factor * static_cast<double>(count)), count, seed);
  // The area of the surface follows from the density of the candidates, for which a first guess of their spacing suffices.
  const auto size = static_cast<double>(fresh.samples.count());
  double area = 0, spacing = field.spacing() * std::sqrt(static_cast<double>(fresh.sources) / size);
  const std::vector<double> density = area_density(fresh.samples, fresh.samples, density_radius(field, spacing));
  for (double d : density) area += 1 / d;
  spacing = std::sqrt(area / static_cast<double>(count));
  Samples samples;
  if (carried) {
    samples = renew(field, *carried, count, seed, spacing, density, fresh);
  } else {
    for (std::size_t n = 0; n < fresh.race.size(); ++n) fresh.race[n] *= density[n];
    samples = select(fresh.samples, smallest(fresh.race, count));
  }
  samples.spacing = spacing;
  return samples;
}

}  // namespace diffmpm::surface
