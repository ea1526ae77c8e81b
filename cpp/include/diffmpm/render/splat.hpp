// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "diffmpm/render/composite.hpp"
#include "diffmpm/render/project.hpp"
#include "diffmpm/render/rasterize.hpp"
#include "diffmpm/render/tile.hpp"

// One Gaussian of one image: from the inputs to its place and its tiles, and back from its sums over the pixels to the gradients
// of the inputs. In double: it costs little beside the pixels, and float32 images keep six digits.

namespace diffmpm {

// A visible Gaussian of one image. The place is in double: relative to a tile it then has all digits of T.
template <class T>
struct Splat {
  double x, y;   // [px]
  T xx, xy, yy;  // Whitening
  T log2_opacity;
  T depth;  // [m]
};

// One Gaussian in one tile.
struct TileEntry {
  std::uint32_t gaussian;
  std::uint32_t slot;   // place among the entries in the order of Gaussians, where the adjoint puts its sums
  std::uint32_t cells;  // mask of the tile's cells that the ellipse reaches
};

}  // namespace diffmpm

DIFFMPM_BEGIN_ISA

DIFFMPM_HD int tiles_along(int pixels) { return (pixels + kTileEdge - 1) / kTileEdge; }

// Smallest ratio of determinant to trace, in units of the dilation, that a positive semi-definite covariance can have is 1/2:
// below half of that the covariance is not one, or too large for its entries to say.
inline constexpr double kDegenerateRatio = 0.25 * kDilation;

// 0 if all values are finite, NaN else.
template <class T>
DIFFMPM_HD_CALL T finite_mark(const T* values, std::int64_t count) {
  T sum(0);
  for (std::int64_t n = 0; n < count; ++n) sum += values[n] * T(0);
  return sum;
}

template <class T>
DIFFMPM_HD_CALL Vec3<double> load_mean(const RasterInput<T>& in, std::int64_t g) {
  return {{double(in.means[3 * g]), double(in.means[3 * g + 1]), double(in.means[3 * g + 2])}};
}

template <class T>
struct QuatScale {
  double quat[4], scale[3];
};
template <class T>
DIFFMPM_HD_CALL QuatScale<T> load_quat_scale(const RasterInput<T>& in, std::int64_t g) {
  QuatScale<T> q;
  for (int k = 0; k < 4; ++k) q.quat[k] = in.quats[4 * g + k];
  for (int k = 0; k < 3; ++k) q.scale[k] = in.scales[3 * g + k];
  return q;
}

template <class T>
DIFFMPM_HD_CALL Mat3<double> load_covariance(const RasterInput<T>& in, std::int64_t g) {
  if (!in.covars) {
    const QuatScale<T> q = load_quat_scale(in, g);
    return quat_scale_covariance(q.quat, q.scale);
  }
  Mat3<double> cov;
  for (int n = 0; n < 9; ++n) cov.m[n] = in.covars[9 * g + n];
  return symmetric(cov);
}

template <class T>
DIFFMPM_HD_CALL bool inputs_finite(const RasterInput<T>& in, int camera, std::int64_t g) {
  T mark = finite_mark(in.means + 3 * g, 3) + finite_mark(in.opacities + g, 1);
  mark += in.covars ? finite_mark(in.covars + 9 * g, 9)
                    : finite_mark(in.quats + 4 * g, 4) + finite_mark(in.scales + 3 * g, 3);
  const std::int64_t row = in.colors_per_camera ? camera * in.count + g : g;
  mark += finite_mark(in.colors + row * in.channels, in.channels);
  return mark == T(0);
}

// Calls visit(tile, mask) for every tile with a cell that the ellipse around (x, y) reaches, row by row.
template <class T, class Visit>
DIFFMPM_HD_CALL void visit_tiles(const RasterInput<T>& in, const Ellipse<T>& e, double x, double y,
                                 const Visit& visit) {
  constexpr double kFirst = 0.5, kLast = kCellEdge - 0.5;  // first and last pixel centre of a cell
  constexpr double kPerPixel = 1.0 / kCellEdge, kRounding = 1e-6;
  const double cells_x = (in.width + kCellEdge - 1) / kCellEdge;
  const double cells_y = (in.height + kCellEdge - 1) / kCellEdge;
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
                  to = std::min(end[r] - tile_x * kTileCells, int{kTileCells});
        if (from < to) mask |= ((1u << to) - (1u << from)) << (r * kTileCells);
      }
      if (mask) visit(static_cast<std::uint32_t>(tile_y * tiles_along(in.width) + tile_x), mask);
    }
  }
}

template <class T>
DIFFMPM_HD_CALL Ellipse<T> ellipse_of(const Splat<T>& s) {
  return splat_ellipse(Whitening<T>{s.xx, s.xy, s.yy}, s.log2_opacity);
}

// Projects Gaussian g; the splat is complete where the status says visible or outside.
template <class T>
DIFFMPM_HD_CALL SplatStatus project_splat(const RasterInput<T>& in, int view, const Camera<double>& camera,
                                          std::int64_t g, Splat<T>& splat) {
  if (!inputs_finite(in, view, g)) return SplatStatus::not_finite;
  const Vec3<double> mean = load_mean(in, g);
  const double depth = dot(Vec3<double>{{camera.R(2, 0), camera.R(2, 1), camera.R(2, 2)}}, mean) + camera.t[2];
  splat.depth = static_cast<T>(depth);
  if (depth <= in.near_plane) return SplatStatus::near_plane;
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
DIFFMPM_HD_CALL void put(bool accumulate, T* out, const double* values, int count) {
  for (int n = 0; n < count; ++n) out[n] = static_cast<T>(accumulate ? double(out[n]) + values[n] : values[n]);
}

template <class T>
DIFFMPM_HD_CALL void store_cov_adjoint(const RasterInput<T>& in, const RasterGradients<T>& out, bool accumulate,
                                       std::int64_t g, const Mat3<double>& cov) {
  if (out.covars) put(accumulate, out.covars + 9 * g, cov.m, 9);
  if (!out.quats && !out.scales) return;
  const QuatScale<T> q = load_quat_scale(in, g);
  double adj_quat[4] = {0, 0, 0, 0}, adj_scale[3] = {0, 0, 0};
  quat_scale_covariance_vjp(q.quat, q.scale, cov, adj_quat, adj_scale);
  if (out.quats) put(accumulate, out.quats + 4 * g, adj_quat, 4);
  if (out.scales) put(accumulate, out.scales + 3 * g, adj_scale, 3);
}

// A Gaussian's sums over the pixels of its tiles, a row a tile: kMoments, the adjoints of its colours and that of its depth.
template <class T>
struct SplatSums {
  const T* rows = nullptr;
  std::uint32_t count = 0;
  int width = 0;  // of a row

  DIFFMPM_HD double operator()(int column) const {
    double sum = 0;
    for (std::uint32_t n = 0; n < count; ++n) sum += double(rows[static_cast<std::int64_t>(n) * width + column]);
    return sum;
  }
};

// Gradients of one visible Gaussian from the totals of its sums, by column; those of an earlier view are kept with `accumulate`.
// Adds to the pose's adjoint.
template <class T, class Total>
DIFFMPM_HD_CALL void splat_vjp(const RasterInput<T>& in, int view, const Camera<double>& camera, std::int64_t g,
                               const Total& total, const RasterGradients<T>& out, bool accumulate, Mat3<double>& adj_R,
                               Vec3<double>& adj_t) {
  if (out.colors) {
    T* colors = out.colors + (in.colors_per_camera ? view * in.count + g : g) * in.channels;
    for (int k = 0; k < in.channels; ++k) {
      const double value = total(kMoments + k);
      put(accumulate && !in.colors_per_camera, colors + k, &value, 1);
    }
  }
  SplatMoments<double> moments;
  for (int n = 0; n < kMoments; ++n) moments.m[n] = total(n);
  const Vec3<double> mean = load_mean(in, g);
  const Mat3<double> cov = load_covariance(in, g);
  const Projection<double> p = project(camera, mean, cov);
  const Whitening<double> w = whitening(p.cov, p.cov[0] * p.cov[2] - p.cov[1] * p.cov[1]);
  Projection<double> adj_p = {{0, 0}, {0, 0, 0}, total(kMoments + in.channels)};
  double adj_opacity = 0;
  splat_exponent_vjp(w, double(in.opacities[g]), moments, adj_p.mean, adj_p.cov, adj_opacity);
  if (out.opacities) put(accumulate, out.opacities + g, &adj_opacity, 1);
  if (out.means2d) put(false, out.means2d + 2 * (view * in.count + g), adj_p.mean, 2);
  Vec3<double> adj_mean = Vec3<double>::zero();
  Mat3<double> adj_cov = Mat3<double>::zero();
  project_vjp(camera, mean, cov, adj_p, adj_mean, adj_cov, adj_R, adj_t);
  if (out.means) put(accumulate, out.means + 3 * g, adj_mean.c, 3);
  store_cov_adjoint(in, out, accumulate, g, adj_cov);
}

DIFFMPM_END_ISA
