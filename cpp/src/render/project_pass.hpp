// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/render/splat.hpp"
#include "kernels.hpp"

// Projection of the Gaussians and the tiles that they reach, and the adjoint of the projection.

DIFFMPM_BEGIN_ISA

template <class T>
Camera<double> camera_of(const ViewArgs<T>& a) {
  const RasterInput<T>& in = *a.input;
  return make_camera<double>(in.viewmats + 16 * a.camera, in.intrinsics + 9 * a.camera, in.width, in.height);
}

template <class T>
void project_pass(const ViewArgs<T>& a) {
  const Camera<double> camera = camera_of(a);
  std::atomic<std::int64_t> entries = 0;  // of Gaussians that reach many tiles
  parallel_for(a.input->count, 64, a.threads, [&](std::int64_t g) {
    const std::uint32_t hits = project_row(*a.input, a.camera, camera, g, a.projected, g, a.splats[g], a.status[g]);
    a.hits[g] = hits;
    // Stop counting lists that are refused anyway.
    if (hits < kManyTiles) return;
    const std::int64_t before = entries.fetch_add(hits, std::memory_order_relaxed);
    if ((before ^ (before + hits)) >> kCheckedEntriesLog2) require_entries(before + hits);
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

// Gathers the sums of each Gaussian over its tiles, in their order. The adjoint of the pose is summed per chunk of Gaussians; the
// caller adds up the chunks.
template <class T>
void project_vjp_pass(const ViewArgs<T>& a, const ViewAdjointArgs<T>& adj) {
  const RasterInput<T>& in = *a.input;
  const Camera<double> camera = camera_of(a);
  const std::int64_t chunks = (in.count + kPoseChunk - 1) / kPoseChunk;
  parallel_for(chunks, 1, a.threads, [&](std::int64_t chunk) {
    Mat3<double> adj_R = Mat3<double>::zero();
    Vec3<double> adj_t = Vec3<double>::zero();
    const std::int64_t end = std::min(in.count, (chunk + 1) * kPoseChunk);
    SparsePoll sparse_poll;
    for (std::int64_t g = chunk * kPoseChunk; g < end; ++g) {
      if (a.status[g] != SplatStatus::visible) continue;
      const SplatSums<T> sums = {adj.sums + std::int64_t{a.hits[g]} * (kMoments + a.channels),
                                 a.hits[g + 1] - a.hits[g], kMoments + a.channels};
      sparse_poll(sums.count * static_cast<std::uint32_t>(sums.width));
      splat_vjp(in, a.camera, camera, g, sums, *adj.out, adj.accumulate, adj_R, adj_t);
    }
    std::copy_n(adj_R.m, 9, adj.chunk_pose + chunk * kPoseValues);
    std::copy_n(adj_t.c, 3, adj.chunk_pose + chunk * kPoseValues + 9);
  });
}

DIFFMPM_END_ISA
