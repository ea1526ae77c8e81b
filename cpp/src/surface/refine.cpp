// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/surface/kernel.hpp"
#include "diffmpm/surface/patch.hpp"
#include "samples.hpp"

namespace diffmpm::surface {
namespace {

constexpr double kFarthestShift = 0.4;  // in particle spacings; a larger shift is not noise
constexpr double kLeastNormal = 0.2;    // least cosine between normals of the samples of a patch
constexpr double kFewSamples = 0.35;    // largest spacing of samples for a patch, in patch radii
constexpr double kEnough = 80;          // samples per patch; of denser ones a regular subset is used

Vec3<double> vec(const Point& p) { return {{p.x, p.y, p.z}}; }

// Every `stride`-th sample. Indices of neighbours are scattered, so the subset is evenly spaced as well.
Samples every(const Samples& s, std::int64_t stride) {
  Samples some;
  some.resize((s.count() + stride - 1) / stride);
  for (std::int64_t i = 0; i < some.count(); ++i) {
    some.set(i, s.point(i * stride));
    some.normal[i] = s.normal[i * stride];
  }
  return some;
}

}  // namespace

void refine(const Field& field, double radius, Samples& s) {
  if (!(s.spacing < kFewSamples * radius)) return;
  const double on_patch = patch_area(radius) / (s.spacing * s.spacing);
  const Samples some = every(s, std::max<std::int64_t>(1, std::llround(on_patch / kEnough)));
  const geometry::CellList cells(some.y.data(), some.count(), 0.5 * radius);
  std::vector<double> moved(s.y.size());
  std::vector<Point> normals(s.normal.size());
  const double inverse = 1 / (radius * radius), scale = 1 / radius, most = kFarthestShift * field.spacing();
  parallel_for(s.count(), 64, [&](std::int64_t i) {
    const Point y = s.point(i);
    const Vec3<double> n = vec(s.normal[i]);
    Vec3<double> a, b;
    tangents(n, a, b);
    Patch<double> patch;
    cells.visit_within(y, radius, [&](std::int32_t slot, double r2) {
      const double agreement = dot(n, vec(some.normal[cells.index(slot)])) - kLeastNormal;
      if (!(agreement > 0)) return;
      const Vec3<double> d = vec(cells.point(slot) - y);
      patch.add(scale * dot(d, a), scale * dot(d, b), scale * dot(d, n), agreement * weight_kernel(r2 * inverse));
    });
    if (patch.empty()) {  // isolated, as on a crumb of the body: keep it
      normals[i] = s.normal[i];
      std::copy(s.y.begin() + 3 * i, s.y.begin() + 3 * i + 3, moved.begin() + 3 * i);
      return;
    }
    double c[kPatchTerms];
    patch.solve(c);
    const double shift = std::clamp(radius * c[0] + field.blur(scale * (c[3] + c[5])), -most, most);
    const Vec3<double> up = n - c[1] * a - c[2] * b;
    const Vec3<double> unit = (1 / std::sqrt(dot(up, up))) * up;
    normals[i] = {unit[0], unit[1], unit[2]};
    for (int r = 0; r < 3; ++r) moved[3 * i + r] = s.y[3 * i + r] + shift * n[r];
  });
  s.y.swap(moved), s.normal.swap(normals);
}

}  // namespace diffmpm::surface
