// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/functions.hpp"
#include "diffmpm/render/composite.hpp"

// Parts of the image that a Gaussian reaches. The image is divided into tiles of 4 x 4 cells of 4 x 4 pixels; a row of cells is a
// strip. The ellipse alpha >= kAlphaMin intersects a strip in an interval, which covers a range of cells.

DIFFMPM_BEGIN_ISA

inline constexpr int kCellEdge = 4;                        // pixels
inline constexpr int kTileCells = 4;                       // cells along an edge
inline constexpr int kTileEdge = kCellEdge * kTileCells;   // pixels
inline constexpr int kCells = kTileCells * kTileCells;     // cells of a tile: bits of a mask
inline constexpr int kCellPixels = kCellEdge * kCellEdge;  // lane l of a cell: row l / 4, column l % 4
inline constexpr int kTilePixels = kTileEdge * kTileEdge;

// Added to the squared whitened radius of the ellipse. Exceeds the rounding of the opacity in float32 (below 1e-3 for Gaussians up
// to 1000 px long), so that culling never drops a pixel that passes the test of its own opacity.
inline constexpr double kCullMargin = 2e-3;

// The ellipse |w|^2 <= radius2, w the whitened offset.
template <class S>
struct Ellipse {
  Whitening<S> w;
  S radius2;
  S extent[2];  // half width and height [px]
  S tip;        // offset in y of the rightmost point [px]
};

template <class S>
DIFFMPM_HD Ellipse<S> splat_ellipse(const Whitening<S>& w, const S& log2_opacity) {
  Ellipse<S> e;
  e.w = w;
  e.radius2 = log2_opacity + S(kCullMargin - kLog2AlphaMin);
  const S radius = vsqrt(e.radius2);
  const S root = vsqrt(w.xy * w.xy + w.yy * w.yy);
  e.extent[0] = radius * root / (w.xx * w.yy);
  e.extent[1] = radius / w.yy;
  e.tip = S(-1) * radius * w.xy / (w.yy * root);
  return e;
}

// Interval [left, right] of offsets in x that the ellipse reaches for offsets in y from `low` to `high`; false if empty.
template <class S>
DIFFMPM_HD bool ellipse_interval(const Ellipse<S>& e, S low, S high, S& left, S& right) {
  if (low > e.extent[1] || high < -e.extent[1]) return false;
  const auto clamp = [&](S y) { return y < low ? low : (y > high ? high : y); };
  const S y_right = clamp(e.tip), y_left = clamp(-e.tip);
  const auto half = [&](S y) {
    const S v = e.w.yy * y, rest = e.radius2 - v * v;
    return rest > S(0) ? vsqrt(rest) : S(0);
  };
  const S inv = S(1) / e.w.xx;
  right = (half(y_right) - e.w.xy * y_right) * inv;
  left = (-half(y_left) - e.w.xy * y_left) * inv;
  return true;
}

DIFFMPM_END_ISA
