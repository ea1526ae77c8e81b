// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "diffmpm/render/composite.hpp"
#include "diffmpm/render/project.hpp"
#include "diffmpm/render/tile.hpp"
#include "kernels.hpp"

// Projection of every Gaussian, in double: it costs little beside the pixels, and float32 images keep six digits.

DIFFMPM_BEGIN_ISA

// Smallest ratio of determinant to trace, in units of the dilation, that a positive semi-definite covariance can have is 1/2:
// below half of that the covariance is not one, or too large for its entries to say.
inline constexpr double kDegenerateRatio = 0.25 * kDilation;

// 0 if all values are finite, NaN else.
template <class T>
T finite_mark(const T* values, std::int64_t count) {
  T sum(0);
  for (std::int64_t n = 0; n < count; ++n) sum += values[n] * T(0);
  return sum;
}

template <class T>
Vec3<double> load_mean(const RasterInput<T>& in, std::int64_t g) {
  return {{double(in.means[3 * g]), double(in.means[3 * g + 1]), double(in.means[3 * g + 2])}};
}

template <class T>
struct QuatScale {
  double quat[4], scale[3];
};
template <class T>
QuatScale<T> load_quat_scale(const RasterInput<T>& in, std::int64_t g) {
  QuatScale<T> q;
  for (int k = 0; k < 4; ++k) q.quat[k] = in.quats[4 * g + k];
  for (int k = 0; k < 3; ++k) q.scale[k] = in.scales[3 * g + k];
  return q;
}

template <class T>
Mat3<double> load_covariance(const RasterInput<T>& in, std::int64_t g) {
  if (!in.covars) {
    const QuatScale<T> q = load_quat_scale(in, g);
    return quat_scale_covariance(q.quat, q.scale);
  }
  Mat3<double> cov;
  for (int n = 0; n < 9; ++n) cov.m[n] = in.covars[9 * g + n];
  return symmetric(cov);
}

template <class T>
bool inputs_finite(const RasterInput<T>& in, int camera, std::int64_t g) {
  T mark = finite_mark(in.means + 3 * g, 3) + finite_mark(in.opacities + g, 1);
  mark += in.covars ? finite_mark(in.covars + 9 * g, 9)
                    : finite_mark(in.quats + 4 * g, 4) + finite_mark(in.scales + 3 * g, 3);
  const std::int64_t row = in.colors_per_camera ? camera * in.count + g : g;
  mark += finite_mark(in.colors + row * in.channels, in.channels);
  return mark == T(0);
}

// Calls visit(tile, mask) for every tile with a cell that the ellipse around (x, y) reaches, row by row.
template <class T, class Visit>
void visit_tiles(const ViewArgs<T>& a, const Ellipse<T>& e, double x, double y, const Visit& visit) {
  constexpr double kFirst = 0.5, kLast = kCellEdge - 0.5;  // first and last pixel centre of a cell
  constexpr double kPerPixel = 1.0 / kCellEdge, kRounding = 1e-6;
  const double cells_x = (a.input->width + kCellEdge - 1) / kCellEdge;
  const double cells_y = (a.input->height + kCellEdge - 1) / kCellEdge;
  const auto inside = [](double cell, double count) { return static_cast<int>(std::max(0.0, std::min(count, cell))); };
  // The first cell whose last centre is at p or after it, and one past the last whose first centre is at p or before it.
  const auto from_cell = [&](double p, double count) {
    return inside((p - kLast) * kPerPixel + (1.0 - kRounding), count);
  };
  const auto to_cell = [&](double p, double count) { return inside((p - kFirst) * kPerPixel + 1.0, count); };
  const int strip_begin = from_cell(y - e.extent[1], cells_y), strip_end = to_cell(y + e.extent[1], cells_y);
  for (int strip = strip_begin; strip < strip_end;) {
    const int tile_y = strip / kTileCells, rows_end = std::min(strip_end, (tile_y + 1) * kTileCells);
    int begin[kTileCells] = {}, end[kTileCells] = {}, low = static_cast<int>(cells_x), high = 0;
    for (; strip < rows_end; ++strip) {
      const double top = kCellEdge * strip - y;
      T left, right;
      if (!ellipse_interval(e, static_cast<T>(top + kFirst), static_cast<T>(top + kLast), left, right)) continue;
      const int r = strip % kTileCells;
      begin[r] = from_cell(x + left, cells_x);
      end[r] = to_cell(x + right, cells_x);
      if (begin[r] < end[r]) low = std::min(low, begin[r]), high = std::max(high, end[r]);
    }
    for (int tile_x = low / kTileCells; tile_x * kTileCells < high; ++tile_x) {
      unsigned mask = 0;
      for (int r = 0; r < kTileCells; ++r) {
        const int from = std::max(begin[r] - tile_x * kTileCells, 0),
                  to = std::min(end[r] - tile_x * kTileCells, kTileCells);
        if (from < to) mask |= ((1u << to) - (1u << from)) << (r * kTileCells);
      }
      if (mask) visit(static_cast<std::uint32_t>(tile_y * a.tiles_x + tile_x), mask);
    }
  }
}

template <class T>
Ellipse<T> ellipse_of(const Splat<T>& s) {
  return splat_ellipse(Whitening<T>{s.xx, s.xy, s.yy}, s.log2_opacity);
}

// Projects Gaussian g; the splat is complete where the status says visible or outside.
template <class T>
SplatStatus project_splat(const ViewArgs<T>& a, const Camera<double>& camera, std::int64_t g, Splat<T>& splat) {
  const RasterInput<T>& in = *a.input;
  if (!inputs_finite(in, a.camera, g)) return SplatStatus::not_finite;
  const Vec3<double> mean = load_mean(in, g);
  const double depth = dot(Vec3<double>{{camera.R(2, 0), camera.R(2, 1), camera.R(2, 2)}}, mean) + camera.t[2];
  splat.depth = static_cast<T>(depth);
  if (depth <= kNearPlane) return SplatStatus::near_plane;
  if (!in.covars && !(quat_norm(load_quat_scale(in, g).quat) > 0)) return SplatStatus::degenerate;
  const Projection<double> p = project(camera, mean, load_covariance(in, g));
  splat.x = p.mean[0], splat.y = p.mean[1];
  if (in.opacities[g] < T(kAlphaMin)) return SplatStatus::transparent;
  const double sum = (p.mean[0] + p.mean[1] + p.cov[0] + p.cov[1] + p.cov[2]) * 0.0 + double(splat.depth) * 0.0;
  if (!(sum == 0.0)) return SplatStatus::not_finite;
  const double det = p.cov[0] * p.cov[2] - p.cov[1] * p.cov[1];
  if (!(p.cov[0] > 0 && p.cov[2] > 0 && det > kDegenerateRatio * (p.cov[0] + p.cov[2]))) return SplatStatus::degenerate;
  const Whitening<double> w = whitening(p.cov, det);
  splat.xx = static_cast<T>(w.xx), splat.xy = static_cast<T>(w.xy), splat.yy = static_cast<T>(w.yy);
  // Larger than T can express: reciprocals and products of the whitening would overflow.
  const T least = std::sqrt(std::numeric_limits<T>::min());
  if (!(splat.xx > least && splat.yy > least)) return SplatStatus::degenerate;
  splat.log2_opacity = std::log2(in.opacities[g]);
  return SplatStatus::outside;
}

template <class T>
void project_pass(const ViewArgs<T>& a) {
  const RasterInput<T>& in = *a.input;
  const Camera<double> camera =
      make_camera<double>(in.viewmats + 16 * a.camera, in.intrinsics + 9 * a.camera, in.width, in.height);
#pragma omp parallel for schedule(dynamic, 512) num_threads(a.threads)
  for (std::int64_t g = 0; g < in.count; ++g) {
    Splat<T> splat{};
    SplatStatus status = project_splat(a, camera, g, splat);
    std::uint32_t hits = 0;
    T extent[2] = {T(0), T(0)};
    if (status == SplatStatus::outside) {
      const Ellipse<T> e = ellipse_of(splat);
      visit_tiles(a, e, splat.x, splat.y, [&](std::uint32_t, unsigned) { ++hits; });
      if (hits > 0) status = SplatStatus::visible, extent[0] = e.extent[0], extent[1] = e.extent[1];
    }
    a.splats[g] = splat, a.status[g] = status, a.hits[g] = hits;
    a.means2d[2 * g] = static_cast<T>(splat.x), a.means2d[2 * g + 1] = static_cast<T>(splat.y);
    a.extents[2 * g] = extent[0], a.extents[2 * g + 1] = extent[1];
    a.depths[g] = splat.depth;
  }
}

template <class T>
void list_hits_pass(const ViewArgs<T>& a) {
#pragma omp parallel for schedule(dynamic, 512) num_threads(a.threads)
  for (std::int64_t g = 0; g < a.input->count; ++g) {
    if (a.status[g] != SplatStatus::visible) continue;
    const Splat<T>& splat = a.splats[g];
    std::uint32_t slot = a.hits[g];
    visit_tiles(a, ellipse_of(splat), splat.x, splat.y, [&](std::uint32_t tile, unsigned mask) {
      a.hit_tiles[slot] = tile, a.hit_cells[slot] = static_cast<std::uint16_t>(mask), ++slot;
    });
  }
}

DIFFMPM_END_ISA
