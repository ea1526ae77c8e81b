// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "field.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>

#include "../core/isa.hpp"
#include "diffmpm/core/parallel.hpp"
#include "diffmpm/core/random.hpp"
#include "diffmpm/surface/kernel.hpp"
#include "diffmpm/surface/patch.hpp"

namespace diffmpm::surface {

namespace {

// Limit on pairs of neighbours; a million particles have 2e8.
constexpr double kMostPairs = 2e10;
constexpr std::int64_t kCostProbes = 256;
// Finer cells approximate the ball better, coarser ones need fewer runs.
constexpr double kCellsPerRadius = 2.0;
// Most rows of cells that a ball of the kernel radius touches: 6 x 6.
constexpr int kMostRuns = 36;
// Iterations of the kernel radius with the measured spacing; the first guess is within 15 %.
constexpr int kSpacingRounds = 3;
constexpr double kSpacingSettled = 0.03;
// Radius around a particle, in spacings, of the random point where its density is measured: such points fill space evenly.
constexpr double kProbeDistance = 0.75;
constexpr std::uint64_t kProbeSeed = 0;
// Fraction of the neighbourhoods, the most symmetric ones, that count as inside of the body.
constexpr double kInnerFraction = 0.2;
// Volumes are clamped to within this factor of the typical one, so that a stray particle cannot fill its neighbourhood.
constexpr double kVolumeFactor = 2.0;
// The largest fill exceeds the level by at least this fraction of 1 - level.
constexpr double kLeastContrast = 0.5;
// Particles evaluated at a time in the search for one with a sufficient fill.
constexpr std::int64_t kFillChunk = 1024;
// Particles of the outer layer lie no deeper than this, in spacings: one layer, with room for jitter.
constexpr double kOuterDepth = 1.2;
constexpr double kOuterMargin = 1.3;     // on the depth estimated from the fill alone
constexpr double kOuterTolerance = 0.1;  // of the projection, in spacings
constexpr int kProjectionSteps = 12;
constexpr double kLongestStep = 0.6;     // in spacings; the slope is not valid beyond it
constexpr double kFarthest = 2.5;        // in spacings; a surface farther away belongs to other particles
constexpr double kTrustedFill = 0.25;    // distance from the level within which the step is that of Newton's method
constexpr double kFlattestSlope = 0.02;  // smallest slope, in fill per spacing, that has a direction

}  // namespace

Field::Field(const double* x, std::int64_t count, const SurfaceParams& params)
    : kernels_(isa_table<FillKernels>()), level_(params.level) {
  level_depth_ = fill_depth(level_);
  spacing_ = params.spacing > 0 ? params.spacing : geometry::mean_spacing(x, count);
  if (!(spacing_ > 0))
    throw std::invalid_argument(
        "x: expected at least two particles apart from each other to measure their spacing, got none; pass the "
        "spacing");
  for (int round = 0; round < kSpacingRounds; ++round) {
    radius_ = params.kernel_radius * spacing_;
    cells_ = geometry::CellList(x, count, radius_ / kCellsPerRadius);
    check_cost();
    density_.assign(count + kPadding, 0.0), filled_.assign(count + kPadding, 0.0);
    const double measured = measure();
    if (params.spacing > 0 || std::abs(measured / spacing_ - 1) < kSpacingSettled) break;
    if (round + 1 < kSpacingRounds) spacing_ = measured;
  }
  volume_.assign(density_.size(), 0.0);
  smooth_volumes();
}

// Rejects bodies with so many pairs of neighbours, estimated from a few particles, that they would take minutes.
void Field::check_cost() const {
  const std::int64_t count = cells_.count(), probes = std::min(count, kCostProbes);
  double pairs = 0;
  for (std::int64_t n = 0; n < probes; ++n)
    cells_.visit_runs(cells_.point(n * count / probes), radius_,
                      [&](std::int32_t begin, std::int32_t end) { pairs += static_cast<double>(end - begin); });
  pairs *= static_cast<double>(count) / static_cast<double>(probes);
  if (pairs <= kMostPairs) return;
  char text[192];
  std::snprintf(
      text, sizeof(text),
      "x: expected particles with at most %.0e pairs of neighbours, got about %.1e within %g of each other; many "
      "lie at one point: leave them out, or pass a smaller spacing",
      kMostPairs, pairs, radius_);
  throw std::invalid_argument(text);
}

template <class Sum>
auto Field::around(const Point& q, const std::vector<double>& weight, const Sum& sum) const {
  std::int32_t runs[2 * kMostRuns];
  FillQuery query{cells_.x(), cells_.y(), cells_.z(), weight.data(), runs, 0, {q.x, q.y, q.z}, 1 / (radius_ * radius_)};
  cells_.visit_runs(q, radius_, [&](std::int32_t begin, std::int32_t end) {
    runs[2 * query.run_count] = begin, runs[2 * query.run_count + 1] = end;
    ++query.run_count;
  });
  return sum(query);
}

FillSums Field::sums(const Point& q, const std::vector<double>& weight) const {
  return around(q, weight, [&](const FillQuery& query) {
    FillSums out;
    kernels_.sums(query, out);
    return out;
  });
}

// Measures the density of particles and the fraction of the kernel inside of the body near each particle; returns the edge of the
// volume per particle. Not at the particle itself, which would raise the density above the average.
double Field::measure() {
  const std::vector<double> ones(density_.size(), 1.0);
  const std::int64_t count = cells_.count();
  std::vector<double> asymmetry(count);
  parallel_for(count, 64, [&](std::int64_t s) {
    double b[3];
    random_in_ball(kProbeSeed, static_cast<std::uint64_t>(cells_.index(s)), 0, b);
    const Point q = cells_.point(s) + (kProbeDistance * spacing_) * Point{b[0], b[1], b[2]};
    const FillSums sum = sums(q, ones);
    const Point moment = {sum.moment[0], sum.moment[1], sum.moment[2]};
    asymmetry[s] = std::sqrt(dot(moment, moment)) / (sum.value * radius_);
    density_[s] = sum.value;
    filled_[s] = fill_of_asymmetry(asymmetry[s]);
  });
  // Noise makes every neighbourhood slightly one-sided, so the fraction inside is underestimated. The most symmetric neighbourhoods
  // are entirely inside and calibrate it.
  std::vector<double> sorted = asymmetry;
  const auto rank = static_cast<std::ptrdiff_t>(kInnerFraction * static_cast<double>(count));
  std::nth_element(sorted.begin(), sorted.begin() + rank, sorted.end());
  const double inner = sorted[rank];
  double density = 0, filled = 0, particles = 0;
  for (std::size_t n = 0; n < asymmetry.size(); ++n)
    if (asymmetry[n] <= inner) density += density_[n], filled += filled_[n], particles += 1;
  for (double& fraction : filled_) fraction *= particles / filled;
  return radius_ * std::cbrt(particles / density);
}

// Volumes from means over the neighbourhood, because single measurements are noisy.
void Field::smooth_volumes() {
  const double ratio = spacing_ / radius_, typical = ratio * ratio * ratio;
  parallel_for(cells_.count(), 64, [&](std::int64_t s) {
    const double volume = around(cells_.point(s), filled_,
                                 [&](const FillQuery& query) { return kernels_.ratio(query, density_.data()); });
    volume_[s] = std::clamp(volume, typical / kVolumeFactor, typical * kVolumeFactor);
  });
  // A few particles, or a string of them, never fill the kernel: volumes are scaled so that the largest fill suffices for a
  // surface. The search ends at the first particle with such a fill, which comes soon in other bodies.
  const double sufficient = level_ + kLeastContrast * (1 - level_);
  double fullest = 0;
  std::vector<double> fill(kFillChunk);
  for (std::int64_t first = 0; first < cells_.count() && fullest < sufficient; first += kFillChunk) {
    const std::int64_t size = std::min(kFillChunk, cells_.count() - first);
    parallel_for(size, 64, [&](std::int64_t n) { fill[n] = sums(cells_.point(first + n), volume_).value; });
    fullest = std::max(fullest, *std::max_element(fill.begin(), fill.begin() + size));
  }
  if (fullest < sufficient)
    for (double& volume : volume_) volume *= sufficient / fullest;
}

Fill Field::at(const Point& q) const {
  const FillSums sum = sums(q, volume_);
  const double scale = 2 / (radius_ * radius_);
  return {sum.value, scale * Point{sum.slope[0], sum.slope[1], sum.slope[2]}};
}

double Field::depth(double fill) const { return radius_ * (fill_depth(fill) - level_depth_); }

double Field::blur(double laplacian) const { return blur_shift(radius_, laplacian); }

bool Field::project(double tolerance, Point& y, Point& normal) const {
  Point at_point = y, direction;
  for (int n = 0; n < kProjectionSteps; ++n) {
    const Fill fill = at(at_point);
    const double slope = std::sqrt(dot(fill.gradient, fill.gradient));
    if (!(slope * spacing_ > kFlattestSlope)) return false;
    direction = (-1 / slope) * fill.gradient;
    const double excess = fill.value - level_;
    double step = std::abs(excess) < kTrustedFill ? excess / slope : depth(fill.value);
    step = std::clamp(step, -kLongestStep * spacing_, kLongestStep * spacing_);
    at_point = at_point + step * direction;
    const Point moved = at_point - y;
    if (dot(moved, moved) > kFarthest * kFarthest * spacing_ * spacing_) return false;
    if (std::abs(step) < tolerance * spacing_) {
      y = at_point, normal = direction;
      return true;
    }
  }
  return false;
}

std::vector<std::uint8_t> Field::outer() const {
  std::vector<std::uint8_t> flags(cells_.count());
  const double deepest = kOuterDepth * spacing_;
  parallel_for(cells_.count(), 64, [&](std::int64_t s) {
    const Point x = cells_.point(s);
    if (depth(at(x).value) > kOuterMargin * deepest) return;
    // A void inside of the body also lowers the fill, but has no surface nearby.
    Point y = x, normal;
    if (!project(kOuterTolerance, y, normal)) {
      // In the middle of a few particles the slope vanishes: start beside it.
      double b[3];
      random_in_ball(kProbeSeed, static_cast<std::uint64_t>(cells_.index(s)), 0, b);
      y = x + (kProbeDistance * spacing_) * Point{b[0], b[1], b[2]};
      if (!project(kOuterTolerance, y, normal)) return;
    }
    flags[cells_.index(s)] = dot(y - x, normal) < deepest ? 1 : 0;
  });
  return flags;
}

}  // namespace diffmpm::surface
