// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/render/splat.hpp"
#include "kernels.hpp"

// Projection of every Gaussian, and the tiles that it reaches.

DIFFMPM_BEGIN_ISA

template <class T>
void project_pass(const ViewArgs<T>& a) {
  const RasterInput<T>& in = *a.input;
  const Camera<double> camera =
      make_camera<double>(in.viewmats + 16 * a.camera, in.intrinsics + 9 * a.camera, in.width, in.height);
  std::atomic<std::int64_t> entries = 0;  // of Gaussians that reach many tiles
  parallel_for(in.count, 64, a.threads, [&](std::int64_t g) {
    Splat<T> splat{};
    SplatStatus status = project_splat(in, a.camera, camera, g, splat);
    std::uint32_t hits = 0;
    T extent[2] = {T(0), T(0)};
    if (status == SplatStatus::outside) {
      const Ellipse<T> e = ellipse_of(splat);
      visit_tiles(in, e, splat.x, splat.y, [&](std::uint32_t, unsigned) { ++hits; });
      // Stop counting lists that are refused anyway.
      if (hits >= kManyTiles) {
        const std::int64_t before = entries.fetch_add(hits, std::memory_order_relaxed);
        if ((before ^ (before + hits)) >> kCheckedEntriesLog2) require_entries(before + hits);
      }
      if (hits > 0) status = SplatStatus::visible, extent[0] = e.extent[0], extent[1] = e.extent[1];
    }
    a.splats[g] = splat, a.status[g] = status, a.hits[g] = hits;
    a.means2d[2 * g] = static_cast<T>(splat.x), a.means2d[2 * g + 1] = static_cast<T>(splat.y);
    a.extents[2 * g] = extent[0], a.extents[2 * g + 1] = extent[1];
    a.depths[g] = splat.depth;
  });
}

template <class T>
void list_hits_pass(const ViewArgs<T>& a) {
  parallel_for(a.input->count, 64, a.threads, [&](std::int64_t g) {
    if (a.status[g] != SplatStatus::visible) return;
    const Splat<T>& splat = a.splats[g];
    std::uint32_t slot = a.hits[g];
    visit_tiles(*a.input, ellipse_of(splat), splat.x, splat.y, [&](std::uint32_t tile, unsigned mask) {
      a.hit_tiles[slot] = tile, a.hit_cells[slot] = static_cast<std::uint16_t>(mask), ++slot;
    });
  });
}

DIFFMPM_END_ISA
