// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <algorithm>

#include "diffmpm/core/threads.hpp"
#include "diffmpm/render/composite.hpp"
#include "rasterize_impl.hpp"

namespace diffmpm {
namespace {

template <class T>
void clear(T* out, std::int64_t count) {
  if (out) std::fill_n(out, count, T(0));
}

// Gaussians that an image does not show, and images without a cotangent, leave zeros.
template <class T>
void clear_gradients(const RasterInput<T>& in, const RasterGradients<T>& out) {
  clear(out.means, 3 * in.count), clear(out.covars, 9 * in.count), clear(out.quats, 4 * in.count);
  clear(out.scales, 3 * in.count), clear(out.opacities, in.count), clear(out.means2d, 2 * in.cameras * in.count);
  clear(out.colors, in.count * in.channels * (in.colors_per_camera ? in.cameras : 1));
  clear(out.backgrounds, std::int64_t{in.cameras} * in.channels), clear(out.viewmats, std::int64_t{16} * in.cameras);
}

// Chunks' shares of the pose's adjoint, added in their order, to a row of (4, 4).
void add_pose(const Buffer<double>& chunk_pose, std::int64_t chunks, double* viewmat) {
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    const double* pose = chunk_pose.data() + chunk * kPoseValues;
    for (int r = 0; r < 3; ++r) {
      for (int s = 0; s < 3; ++s) viewmat[4 * r + s] += pose[3 * r + s];
      viewmat[4 * r + 3] += pose[9 + r];
    }
  }
}

template <class T>
void add_background(const Buffer<double>& tile_background, std::int64_t tiles, int channels, T* out) {
  for (int k = 0; k < channels; ++k) {
    double sum = 0;
    for (std::int64_t n = 0; n < tiles; ++n) sum += tile_background.data()[n * channels + k];
    out[k] = static_cast<T>(sum);
  }
}

}  // namespace

template <class T>
void CpuRasterization<T>::vjp(const RasterAdjoint<T>& adj, const RasterGradients<T>& out) const {
  const int threads = thread_count();
  clear_gradients(in, out);
  if (!adj.color && !adj.alpha && !adj.depth) return;
  const std::int64_t chunks = (in.count + kPoseChunk - 1) / kPoseChunk;
  const bool of_gaussians =
      out.means || out.covars || out.quats || out.scales || out.opacities || out.colors || out.viewmats || out.means2d;
  const Buffer<T> scratch = make_scratch(threads);
  const Buffer<double> chunk_pose(chunks * kPoseValues);
  Buffer<double> tile_background;
  if (out.backgrounds) tile_background = Buffer<double>(tiles() * in.channels);
  Buffer<T> sums;
  for (int c = 0; c < in.cameras; ++c) {
    const ViewArgs<T> a = view_args(c, threads, scratch);
    ViewAdjointArgs<T> v;
    require_memory(static_cast<double>(sizeof(T)) * static_cast<double>(entries[c]) * (kMoments + a.channels),
                   "vjp: expected sums over the tiles' lists that fit into half of the free memory",
                   "make the Gaussians or the image smaller");
    sums.reserve(entries[c] * (kMoments + a.channels));
    v.color = adj.color ? adj.color + c * pixels() * in.channels : nullptr;
    v.alpha = adj.alpha ? adj.alpha + c * pixels() : nullptr;
    v.depth = adj.depth ? adj.depth + c * pixels() : nullptr;
    v.sums = sums.data(), v.chunk_pose = chunk_pose.data(), v.out = &out, v.accumulate = c > 0;
    v.tile_background = out.backgrounds ? tile_background.data() : nullptr;
    table.composite_vjp(a, v);
    if (out.backgrounds) add_background(tile_background, tiles(), in.channels, out.backgrounds + c * in.channels);
    if (!of_gaussians) continue;
    table.project_vjp(a, v);
    if (out.viewmats) add_pose(chunk_pose, chunks, out.viewmats + 16 * c);
  }
}

template void CpuRasterization<float>::vjp(const RasterAdjoint<float>&, const RasterGradients<float>&) const;
template void CpuRasterization<double>::vjp(const RasterAdjoint<double>&, const RasterGradients<double>&) const;

}  // namespace diffmpm
