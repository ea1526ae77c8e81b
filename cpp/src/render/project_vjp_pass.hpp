// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "project_pass.hpp"

// Adjoint of the projection: gathers a Gaussian's sums over its tiles, in their order, and takes them to the inputs. The pose's
// adjoint is summed a chunk of Gaussians at a time; the caller adds the chunks up.

DIFFMPM_BEGIN_ISA

template <class T>
void project_vjp_pass(const ViewArgs<T>& a, const ViewAdjointArgs<T>& adj) {
  const RasterInput<T>& in = *a.input;
  const Camera<double> camera =
      make_camera<double>(in.viewmats + 16 * a.camera, in.intrinsics + 9 * a.camera, in.width, in.height);
  const std::int64_t chunks = (in.count + kPoseChunk - 1) / kPoseChunk;
  parallel_for(chunks, 1, a.threads, [&](std::int64_t chunk) {
    Mat3<double> adj_R = Mat3<double>::zero();
    Vec3<double> adj_t = Vec3<double>::zero();
    const std::int64_t end = std::min(in.count, (chunk + 1) * kPoseChunk);
    SparsePoll sparse_poll;
    for (std::int64_t g = chunk * kPoseChunk; g < end; ++g)
      if (a.status[g] == SplatStatus::visible) {
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
