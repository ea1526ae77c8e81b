// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/functions.hpp"
#include "diffmpm/math/mat3.hpp"
#include "diffmpm/render/camera.hpp"

// EWA projection of a Gaussian (Zwicker et al. 2002; docs/method.md, section 6), and its adjoint.

DIFFMPM_BEGIN_ISA

// Variance [px^2] added to both axes of a projected Gaussian: the extent of a pixel, which also keeps thin Gaussians visible.
inline constexpr double kDilation = 0.3;

// Rotation of a unit quaternion (w, x, y, z).
template <class S>
DIFFMPM_HD Mat3<S> quat_rotation(const S* unit) {
  const S w = unit[0], x = unit[1], y = unit[2], z = unit[3], one(1), two(2);
  return {{one - two * (y * y + z * z), two * (x * y - w * z), two * (x * z + w * y), two * (x * y + w * z),
           one - two * (x * x + z * z), two * (y * z - w * x), two * (x * z - w * y), two * (y * z + w * x),
           one - two * (x * x + y * y)}};
}

// adj_unit += d <a, R> / d unit, a the adjoint of the rotation.
template <class S>
DIFFMPM_HD void quat_rotation_vjp(const S* unit, const Mat3<S>& a, S* adj_unit) {
  const S w = unit[0], x = unit[1], y = unit[2], z = unit[3], two(2);
  adj_unit[0] += two * (x * (a(2, 1) - a(1, 2)) + y * (a(0, 2) - a(2, 0)) + z * (a(1, 0) - a(0, 1)));
  adj_unit[1] += two * (w * (a(2, 1) - a(1, 2)) + y * (a(0, 1) + a(1, 0)) + z * (a(0, 2) + a(2, 0)) -
                        two * x * (a(1, 1) + a(2, 2)));
  adj_unit[2] += two * (w * (a(0, 2) - a(2, 0)) + x * (a(0, 1) + a(1, 0)) + z * (a(1, 2) + a(2, 1)) -
                        two * y * (a(0, 0) + a(2, 2)));
  adj_unit[3] += two * (w * (a(1, 0) - a(0, 1)) + x * (a(0, 2) + a(2, 0)) + y * (a(1, 2) + a(2, 1)) -
                        two * z * (a(0, 0) + a(1, 1)));
}

template <class S>
DIFFMPM_HD S quat_norm(const S* quat) {
  return vsqrt(quat[0] * quat[0] + quat[1] * quat[1] + quat[2] * quat[2] + quat[3] * quat[3]);
}

// a diag(scale)
template <class S>
DIFFMPM_HD Mat3<S> scale_columns(Mat3<S> a, const S* scale) {
  for (int r = 0; r < 3; ++r)
    for (int s = 0; s < 3; ++s) a(r, s) = a(r, s) * scale[s];
  return a;
}

// covar = M M^T with M = R(q / |q|) diag(scale), for a quaternion of any length above 0.
template <class S>
DIFFMPM_HD Mat3<S> quat_scale_covariance(const S* quat, const S* scale) {
  const S inv = S(1) / quat_norm(quat);
  const S unit[4] = {inv * quat[0], inv * quat[1], inv * quat[2], inv * quat[3]};
  const Mat3<S> M = scale_columns(quat_rotation(unit), scale);
  return mul_nt(M, M);
}

// adj_M = (adj_covar + adj_covar^T) M. The adjoint of the normalisation projects onto the complement of the unit quaternion.
template <class S>
DIFFMPM_HD void quat_scale_covariance_vjp(const S* quat, const S* scale, const Mat3<S>& adj_covar, S* adj_quat,
                                          S* adj_scale) {
  const S inv = S(1) / quat_norm(quat);
  const S unit[4] = {inv * quat[0], inv * quat[1], inv * quat[2], inv * quat[3]};
  const Mat3<S> R = quat_rotation(unit);
  Mat3<S> adj_R = mul(S(2) * symmetric(adj_covar), scale_columns(R, scale));
  for (int s = 0; s < 3; ++s) {
    adj_scale[s] += adj_R(0, s) * R(0, s) + adj_R(1, s) * R(1, s) + adj_R(2, s) * R(2, s);
    for (int r = 0; r < 3; ++r) adj_R(r, s) = adj_R(r, s) * scale[s];
  }
  S adj_unit[4] = {S(0), S(0), S(0), S(0)};
  quat_rotation_vjp(unit, adj_R, adj_unit);
  S along(0);
  for (int k = 0; k < 4; ++k) along += adj_unit[k] * unit[k];
  for (int k = 0; k < 4; ++k) adj_quat[k] += inv * (adj_unit[k] - along * unit[k]);
}

// A projected Gaussian.
template <class S>
struct Projection {
  S mean[2];   // [px]
  S covar[3];  // xx, xy, yy of the dilated covariance [px^2]
  S depth;     // camera z of the mean [m]
};

// Intermediate values of `project` and its adjoint.
template <class S>
struct ProjectionTerms {
  Vec3<S> p;  // mean in camera axes
  S inv_z, slope[2], clamped[2];
  S diagonal[2], last[2];  // J = [[diagonal0, 0, last0], [0, diagonal1, last1]]
  Mat3<S> V;               // camera-axes covariance R covar R^T
  Vec3<S> VJ[2];           // V j for the rows j of J
};

template <class S>
DIFFMPM_HD ProjectionTerms<S> projection_terms(const Camera<S>& camera, const Vec3<S>& mean, const Mat3<S>& covar) {
  ProjectionTerms<S> a;
  a.p = mul(camera.R, mean) + camera.t;
  a.inv_z = S(1) / a.p[2];
  a.V = mul_nt(mul(camera.R, covar), camera.R);
  for (int k = 0; k < 2; ++k) {
    a.slope[k] = a.p[k] * a.inv_z;
    a.clamped[k] = select(a.slope[k] < camera.slope_low[k], camera.slope_low[k], a.slope[k]);
    a.clamped[k] = select(a.clamped[k] > camera.slope_high[k], camera.slope_high[k], a.clamped[k]);
    a.diagonal[k] = camera.focal[k] * a.inv_z;
    a.last[k] = S(-1) * a.diagonal[k] * a.clamped[k];
    for (int r = 0; r < 3; ++r) a.VJ[k][r] = a.diagonal[k] * a.V(r, k) + a.last[k] * a.V(r, 2);
  }
  return a;
}

// Eq. 6.7: mean' = focal * (x/z, y/z) + center,  covar' = J R covar R^T J^T + kDilation I, with J at (x/z, y/z) clamped to the widened
// frustum. `covar` is symmetric.
template <class S>
DIFFMPM_HD Projection<S> project(const Camera<S>& camera, const Vec3<S>& mean, const Mat3<S>& covar) {
  const ProjectionTerms<S> a = projection_terms(camera, mean, covar);
  Projection<S> out;
  for (int k = 0; k < 2; ++k) {
    out.mean[k] = camera.focal[k] * a.slope[k] + camera.center[k];
    out.covar[2 * k] = a.diagonal[k] * a.VJ[k][k] + a.last[k] * a.VJ[k][2] + S(kDilation);
  }
  out.covar[1] = a.diagonal[0] * a.VJ[1][0] + a.last[0] * a.VJ[1][2];
  out.depth = a.p[2];
  return out;
}

// Adjoint with respect to mean, covar (symmetric) and the pose of the camera as a general affine map. Clamped slopes have no
// derivative. adj.covar[1] is the derivative with respect to the value of both off-diagonal entries.
template <class S>
DIFFMPM_HD void project_vjp(const Camera<S>& camera, const Vec3<S>& mean, const Mat3<S>& covar,
                            const Projection<S>& adj, Vec3<S>& adj_mean, Mat3<S>& adj_covar, Mat3<S>& adj_R,
                            Vec3<S>& adj_t) {
  const ProjectionTerms<S> a = projection_terms(camera, mean, covar);
  const S half = S(0.5) * adj.covar[1], two(2), zero(0);
  const S A[2][2] = {{adj.covar[0], half}, {half, adj.covar[2]}};
  Vec3<S> adj_p = Vec3<S>::zero();
  S adj_inv(0);
  for (int k = 0; k < 2; ++k) {
    // adj_J = 2 A J V; only the entries (k, k) and (k, 2) of J vary.
    const S adj_diagonal = two * (A[k][0] * a.VJ[0][k] + A[k][1] * a.VJ[1][k]);
    const S adj_last = two * (A[k][0] * a.VJ[0][2] + A[k][1] * a.VJ[1][2]);
    const S adj_clamped = S(-1) * a.diagonal[k] * adj_last;
    const S inside = select(a.slope[k] < camera.slope_low[k], zero, adj_clamped);
    const S adj_slope = select(a.slope[k] > camera.slope_high[k], zero, inside) + camera.focal[k] * adj.mean[k];
    adj_inv += camera.focal[k] * (adj_diagonal - a.clamped[k] * adj_last) + a.p[k] * adj_slope;
    adj_p[k] = a.inv_z * adj_slope;
  }
  adj_p[2] = adj.depth - a.inv_z * a.inv_z * adj_inv;

  // adj_V = J^T A J, symmetric.
  Mat3<S> adj_V;
  const S d0 = a.diagonal[0], d1 = a.diagonal[1], l0 = a.last[0], l1 = a.last[1];
  adj_V(0, 0) = d0 * d0 * A[0][0], adj_V(1, 1) = d1 * d1 * A[1][1];
  adj_V(0, 1) = adj_V(1, 0) = d0 * d1 * half;
  adj_V(0, 2) = adj_V(2, 0) = d0 * (A[0][0] * l0 + half * l1);
  adj_V(1, 2) = adj_V(2, 1) = d1 * (half * l0 + A[1][1] * l1);
  adj_V(2, 2) = l0 * l0 * A[0][0] + two * l0 * l1 * half + l1 * l1 * A[1][1];

  const Mat3<S> VR = mul(adj_V, camera.R);
  adj_covar += symmetric(mul_tn(camera.R, VR));  // symmetric but for rounding
  adj_R += two * mul(VR, covar);
  adj_R += outer_product(adj_p, mean);
  adj_t += adj_p;
  adj_mean += mul_tn(camera.R, adj_p);
}

DIFFMPM_END_ISA
