// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "project_pass.hpp"

// Adjoint of the projection: gathers a Gaussian's sums over its tiles, in their order, and takes them to the inputs, in
// double. The pose's adjoint is summed a chunk of Gaussians at a time; the caller adds the chunks up.

DIFFMPM_BEGIN_ISA

template <class T>
void put(bool accumulate, T* out, const double* values, int count) {
  for (int n = 0; n < count; ++n) out[n] = static_cast<T>(accumulate ? double(out[n]) + values[n] : values[n]);
}

template <class T>
void store_cov_adjoint(const RasterInput<T>& in, const ViewAdjointArgs<T>& adj, std::int64_t g,
                       const Mat3<double>& cov) {
  const RasterGradients<T>& out = *adj.out;
  if (out.covars) put(adj.accumulate, out.covars + 9 * g, cov.m, 9);
  if (!out.quats && !out.scales) return;
  const QuatScale<T> q = load_quat_scale(in, g);
  double adj_quat[4] = {0, 0, 0, 0}, adj_scale[3] = {0, 0, 0};
  quat_scale_covariance_vjp(q.quat, q.scale, cov, adj_quat, adj_scale);
  if (out.quats) put(adj.accumulate, out.quats + 4 * g, adj_quat, 4);
  if (out.scales) put(adj.accumulate, out.scales + 3 * g, adj_scale, 3);
}

// Gradients of one visible Gaussian.
template <class T>
void splat_vjp(const ViewArgs<T>& a, const ViewAdjointArgs<T>& adj, const Camera<double>& camera, std::int64_t g,
               Mat3<double>& adj_R, Vec3<double>& adj_t) {
  const RasterInput<T>& in = *a.input;
  const RasterGradients<T>& out = *adj.out;
  const int width = kMoments + a.channels;
  const T* rows = adj.sums + static_cast<std::int64_t>(a.hits[g]) * width;
  const std::uint32_t count = a.hits[g + 1] - a.hits[g];
  const auto total = [&](int column) {
    double sum = 0;
    for (std::uint32_t n = 0; n < count; ++n) sum += double(rows[static_cast<std::int64_t>(n) * width + column]);
    return sum;
  };
  if (out.colors) {
    T* colors = out.colors + (in.colors_per_camera ? a.camera * in.count + g : g) * in.channels;
    for (int k = 0; k < in.channels; ++k) {
      const double value = total(kMoments + k);
      put(adj.accumulate && !in.colors_per_camera, colors + k, &value, 1);
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
  if (out.opacities) put(adj.accumulate, out.opacities + g, &adj_opacity, 1);
  Vec3<double> adj_mean = Vec3<double>::zero();
  Mat3<double> adj_cov = Mat3<double>::zero();
  project_vjp(camera, mean, cov, adj_p, adj_mean, adj_cov, adj_R, adj_t);
  if (out.means) put(adj.accumulate, out.means + 3 * g, adj_mean.c, 3);
  store_cov_adjoint(in, adj, g, adj_cov);
}

template <class T>
void project_vjp_pass(const ViewArgs<T>& a, const ViewAdjointArgs<T>& adj) {
  const RasterInput<T>& in = *a.input;
  const Camera<double> camera =
      make_camera<double>(in.viewmats + 16 * a.camera, in.intrinsics + 9 * a.camera, in.width, in.height);
  const std::int64_t chunks = (in.count + kPoseChunk - 1) / kPoseChunk;
#pragma omp parallel for schedule(dynamic, 4) num_threads(a.threads)
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    Mat3<double> adj_R = Mat3<double>::zero();
    Vec3<double> adj_t = Vec3<double>::zero();
    const std::int64_t end = std::min(in.count, (chunk + 1) * kPoseChunk);
    for (std::int64_t g = chunk * kPoseChunk; g < end; ++g)
      if (a.status[g] == SplatStatus::visible) splat_vjp(a, adj, camera, g, adj_R, adj_t);
    std::copy_n(adj_R.m, 9, adj.chunk_pose + chunk * kPoseValues);
    std::copy_n(adj_t.c, 3, adj.chunk_pose + chunk * kPoseValues + 9);
  }
}

DIFFMPM_END_ISA
