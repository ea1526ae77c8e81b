// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/math/mat3.hpp"
#include "diffmpm/math/quaternion.hpp"
#include "diffmpm/surface/fit.hpp"
#include "diffmpm/surface/patch.hpp"

namespace diffmpm::surface {
namespace {

using Vec = Vec3<double>;

constexpr double kThinnest = 1e-3;  // least ratio of the axes of a Gaussian in the surface
constexpr double kTiny = 1e-300;

Vec unit(const Vec& a) { return (1 / std::sqrt(std::max(dot(a, a), kTiny))) * a; }

// Weights of the corners of a quadrilateral at (s, t), and their derivatives.
struct Bilinear {
  double weight[4], by_s[4], by_t[4];
  Bilinear(double s, double t)
      : weight{(1 - s) * (1 - t), s * (1 - t), s * t, (1 - s) * t},
        by_s{t - 1, 1 - t, t, -t},
        by_t{s - 1, -s, s, 1 - s} {}
};

Vec sum_of(const double* weights, const Vec* corners) {
  Vec sum = weights[0] * corners[0];
  for (int c = 1; c < 4; ++c) sum = sum + weights[c] * corners[c];
  return sum;
}

}  // namespace

void cover(const FittedSurface& surface, int splits, double sigma, double flatness, const Discs& out) {
  const auto quads = static_cast<std::int64_t>(surface.quads.size());
  parallel_for(quads, 64, [&](std::int64_t q) {
    Vec x[4], n[4], color[4];
    for (int c = 0; c < 4; ++c) {
      const std::size_t v = 3 * static_cast<std::size_t>(surface.quads[q][c]);
      for (int r = 0; r < 3; ++r) {
        x[c][r] = surface.vertices[v + r], n[c][r] = surface.normals[v + r];
        if (out.colors) color[c][r] = surface.colors[v + r];
      }
    }
    std::int64_t to = q * splits * splits;
    for (int i = 0; i < splits; ++i)
      for (int j = 0; j < splits; ++j, ++to) {
        const Bilinear at((i + 0.5) / splits, (j + 0.5) / splits);
        const Vec mean = sum_of(at.weight, x), normal = unit(sum_of(at.weight, n));
        const Vec s = (sigma / splits) * sum_of(at.by_s, x), t = (sigma / splits) * sum_of(at.by_t, x);
        // Axes of the ellipse s s^T + t t^T in the tangent plane.
        Vec a, b;
        tangents(normal, a, b);
        const double sa = dot(s, a), sb = dot(s, b), ta = dot(t, a), tb = dot(t, b);
        const double aa = sa * sa + ta * ta, bb = sb * sb + tb * tb, ab = sa * sb + ta * tb;
        const double half = 0.5 * (aa + bb), gap = std::sqrt(0.25 * (aa - bb) * (aa - bb) + ab * ab);
        const double angle = 0.5 * std::atan2(2 * ab, aa - bb), cosine = std::cos(angle), sine = std::sin(angle);
        const Vec u = cosine * a + sine * b, v = cosine * b - sine * a;
        const double longest = std::max(std::sqrt(half + gap), kThinnest * sigma * surface.spacing);
        const double shortest = std::max(std::sqrt(std::max(half - gap, 0.0)), kThinnest * longest);
        const double scales[3] = {longest, shortest, std::min(shortest, flatness * std::sqrt(longest * shortest))};
        for (int r = 0; r < 3; ++r) {
          out.means[3 * to + r] = static_cast<float>(mean[r]);
          out.scales[3 * to + r] = static_cast<float>(scales[r]);
          out.normals[3 * to + r] = static_cast<float>(normal[r]);
          if (out.colors) out.colors[3 * to + r] = static_cast<float>(sum_of(at.weight, color)[r]);
        }
        quaternion(u, v, normal, out.quats + 4 * to);
      }
  });
}

}  // namespace diffmpm::surface
