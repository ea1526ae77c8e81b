// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "diffmpm/render/composite.hpp"
#include "diffmpm/render/project.hpp"
#include "diffmpm/render/rasterize.hpp"
#include "diffmpm/render/tile.hpp"

// One Gaussian of one image: projection and tiles, and the adjoint from sums over its pixels to the gradients of the inputs. In
// double precision, which costs little compared with the pixels and keeps float32 images accurate to six digits.

namespace diffmpm {

// A projected Gaussian. The position is in double, so that it is accurate to T relative to a tile.
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
  std::uint32_t slot;   // index among all entries ordered by Gaussian, where the adjoint stores its sums
  std::uint32_t cells;  // mask of the cells of the tile that the ellipse reaches
};

// Arrays of projected Gaussians.
template <class T>
struct ProjectedArrays {
  T *means2d = nullptr, *extents = nullptr, *depths = nullptr;  // (N, 2), (N, 2), (N)
};

}  // namespace diffmpm

DIFFMPM_BEGIN_ISA

DIFFMPM_HD int tiles_along(int pixels) { return (pixels + kTileEdge - 1) / kTileEdge; }

// Bits of a depth above 0, which order like the depths.
template <class T>
using DepthKey = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
template <class T>
DIFFMPM_HD DepthKey<T> depth_key(T depth) {
  return std::bit_cast<DepthKey<T>>(depth);
}

// The ratio of determinant to trace of a dilated positive semi-definite covariance is at least kDilation / 2. Below half of that
// the covariance is not positive semi-definite, or too large for its determinant to have a correct digit.
inline constexpr double kDegenerateRatio = 0.25 * kDilation;

// 0 if all values are finite, else NaN.
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

struct QuatScale {
  double quat[4], scale[3];
};
template <class T>
DIFFMPM_HD_CALL QuatScale load_quat_scale(const RasterInput<T>& in, std::int64_t g) {
  QuatScale q;
  for (int k = 0; k < 4; ++k) q.quat[k] = in.quats[4 * g + k];
  for (int k = 0; k < 3; ++k) q.scale[k] = in.scales[3 * g + k];
  return q;
}

template <class T>
DIFFMPM_HD_CALL Mat3<double> load_covariance(const RasterInput<T>& in, std::int64_t g) {
  if (!in.covars) {
    const QuatScale q = load_quat_scale(in, g);
    return quat_scale_covariance(q.quat, q.scale);
  }
  Mat3<double> covar;
  for (int n = 0; n < 9; ++n) covar.m[n] = in.covars[9 * g + n];
  return symmetric(covar);
}

template <class T>
DIFFMPM_HD_CALL bool inputs_finite(const RasterInput<T>& in, int camera, std::int64_t g) {
  T mark = finite_mark(in.means + 3 * g, 3) + finite_mark(in.opacities + g, 1);
  mark += in.covars ? finite_mark(in.covars + 9 * g, 9)
                    : finite_mark(in.quats + 4 * g, 4) + finite_mark(in.scales + 3 * g, 3);
  mark += finite_mark(in.colors + in.color_index(camera, g), in.channels);
  return mark == T(0);
}

// Calls visit(tile, mask of cells) for each tile with a cell that the ellipse around (x, y) reaches, row by row.
template <class T, class Visit>
DIFFMPM_HD_CALL void visit_tiles(const RasterInput<T>& in, const Ellipse<T>& e, double x, double y,
                                 const Visit& visit) {
  constexpr double kFirst = 0.5, kLast = kCellEdge - 0.5;  // first and last pixel centre of a cell
  constexpr double kPerPixel = 1.0 / kCellEdge, kRounding = 1e-6;
  const double cells_x = (in.width + kCellEdge - 1) / kCellEdge;
  const double cells_y = (in.height + kCellEdge - 1) / kCellEdge;
  const auto inside = [](double cell, double count) { return static_cast<int>(std::max(0.0, std::min(count, cell))); };
  // First cell whose last pixel centre is not before p, and one past the last cell whose first pixel centre is not after p.
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

// Projects Gaussian g. `splat` is complete if the status is `outside`, which stands for all that have a valid projection.
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
  const double sum = (p.mean[0] + p.mean[1] + p.covar[0] + p.covar[1] + p.covar[2]) * 0.0 + double(splat.depth) * 0.0;
  if (!(sum == 0.0)) return SplatStatus::not_finite;
  const double det = p.covar[0] * p.covar[2] - p.covar[1] * p.covar[1];
  if (!(p.covar[0] > 0 && p.covar[2] > 0 && det > kDegenerateRatio * (p.covar[0] + p.covar[2])))
    return SplatStatus::degenerate;
  const Whitening<double> w = whitening(p.covar, det);
  splat.xx = static_cast<T>(w.xx), splat.xy = static_cast<T>(w.xy), splat.yy = static_cast<T>(w.yy);
  // Reciprocals and products of a smaller whitening would overflow in T.
  const T least = std::sqrt(std::numeric_limits<T>::min());
  if (!(splat.xx > least && splat.yy > least)) return SplatStatus::degenerate;
  splat.log2_opacity = std::log2(in.opacities[g]);
  return SplatStatus::outside;
}

// Projects Gaussian g into row n of `out`. Returns the number of tiles that it reaches.
template <class T>
DIFFMPM_HD std::uint32_t project_row(const RasterInput<T>& in, int view, const Camera<double>& camera, std::int64_t g,
                                     const ProjectedArrays<T>& out, std::int64_t n, Splat<T>& splat,
                                     SplatStatus& status) {
  splat = {};
  status = project_splat(in, view, camera, g, splat);
  std::uint32_t tiles = 0;
  T extent[2] = {T(0), T(0)};
  if (status == SplatStatus::outside) {
    const Ellipse<T> e = ellipse_of(splat);
    visit_tiles(in, e, splat.x, splat.y, [&](std::uint32_t, unsigned) { ++tiles; });
    if (tiles > 0) status = SplatStatus::visible, extent[0] = e.extent[0], extent[1] = e.extent[1];
  }
  out.means2d[2 * n] = static_cast<T>(splat.x), out.means2d[2 * n + 1] = static_cast<T>(splat.y);
  out.extents[2 * n] = extent[0], out.extents[2 * n + 1] = extent[1];
  out.depths[n] = splat.depth;
  return tiles;
}

template <class T>
DIFFMPM_HD_CALL void store(bool accumulate, T* out, const double* values, int count) {
  for (int n = 0; n < count; ++n) out[n] = static_cast<T>(accumulate ? double(out[n]) + values[n] : values[n]);
}

template <class T>
DIFFMPM_HD_CALL void store_covar_adjoint(const RasterInput<T>& in, const RasterGradients<T>& out, bool accumulate,
                                         std::int64_t g, const Mat3<double>& covar) {
  if (out.covars) store(accumulate, out.covars + 9 * g, covar.m, 9);
  if (!out.quats && !out.scales) return;
  const QuatScale q = load_quat_scale(in, g);
  double adj_quat[4] = {0, 0, 0, 0}, adj_scale[3] = {0, 0, 0};
  quat_scale_covariance_vjp(q.quat, q.scale, covar, adj_quat, adj_scale);
  if (out.quats) store(accumulate, out.quats + 4 * g, adj_quat, 4);
  if (out.scales) store(accumulate, out.scales + 3 * g, adj_scale, 3);
}

// Sums over the pixels of a Gaussian, one row per tile: kMoments moments, the adjoints of its colours, and that of its depth.
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

// Gradients of a visible Gaussian from the totals of its sums, by column. With `accumulate` they are added to those of earlier
// views. Adds to the adjoint of the pose.
template <class T, class Total>
DIFFMPM_HD_CALL void splat_vjp(const RasterInput<T>& in, int view, const Camera<double>& camera, std::int64_t g,
                               const Total& total, const RasterGradients<T>& out, bool accumulate, Mat3<double>& adj_R,
                               Vec3<double>& adj_t) {
  if (out.colors) {
    T* colors = out.colors + in.color_index(view, g);
    for (int k = 0; k < in.channels; ++k) {
      const double value = total(kMoments + k);
      store(accumulate && !in.colors_per_camera, colors + k, &value, 1);
    }
  }
  SplatMoments<double> moments;
  for (int n = 0; n < kMoments; ++n) moments.m[n] = total(n);
  const Vec3<double> mean = load_mean(in, g);
  const Mat3<double> covar = load_covariance(in, g);
  const Projection<double> p = project(camera, mean, covar);
  const Whitening<double> w = whitening(p.covar, p.covar[0] * p.covar[2] - p.covar[1] * p.covar[1]);
  Projection<double> adj_p = {{0, 0}, {0, 0, 0}, total(kMoments + in.channels)};
  double adj_opacity = 0;
  splat_exponent_vjp(w, double(in.opacities[g]), moments, adj_p.mean, adj_p.covar, adj_opacity);
  if (out.opacities) store(accumulate, out.opacities + g, &adj_opacity, 1);
  if (out.means2d) store(false, out.means2d + 2 * (view * in.count + g), adj_p.mean, 2);
  Vec3<double> adj_mean = Vec3<double>::zero();
  Mat3<double> adj_covar = Mat3<double>::zero();
  project_vjp(camera, mean, covar, adj_p, adj_mean, adj_covar, adj_R, adj_t);
  if (out.means) store(accumulate, out.means + 3 * g, adj_mean.c, 3);
  store_covar_adjoint(in, out, accumulate, g, adj_covar);
}

// Calls visit(array, size) for the requested gradients but those of backgrounds and cameras.
template <class T, class Visit>
void visit_gradients(const RasterInput<T>& in, const RasterGradients<T>& out, const Visit& visit) {
  const auto visit_requested = [&](T* array, std::int64_t size) {
    if (array) visit(array, size);
  };
  visit_requested(out.means, 3 * in.count), visit_requested(out.covars, 9 * in.count);
  visit_requested(out.quats, 4 * in.count), visit_requested(out.scales, 3 * in.count);
  visit_requested(out.opacities, in.count), visit_requested(out.means2d, 2 * in.cameras * in.count);
  visit_requested(out.colors, in.count * in.channels * (in.colors_per_camera ? in.cameras : 1));
}

DIFFMPM_END_ISA
