// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/mat3.hpp"
#include "diffmpm/math/scalar.hpp"
#include "diffmpm/surface/kernel.hpp"

// One sample of the surface, interpolated from its parents, and its adjoint (docs/method.md, section 6).

namespace diffmpm::surface {

inline constexpr int kMaxParents = 32;
// Added to each weight before normalisation; the kernel is at most 1. If all parents have left the support, their weights become
// equal instead of a division by zero. A constant, so it has no derivative.
inline constexpr double kWeightFloor = 1e-6;
// A normal with a squared length below this fraction of |F|^4 has no direction: it is replaced by the rest normal, without
// gradient.
inline constexpr double kNoNormal = 1e-24;

// Rest state of a sample.
template <class S>
struct SampleRest {
  int count;         // number of parents, 1 to kMaxParents
  const Vec3<S>* r;  // rest offset from each parent [m]
  S support;         // radius of the weight kernel [m], > 0
  Mat3<S> axes;      // A0, square root of the rest covariance over sigma0^2 [m]
  Vec3<S> normal;    // unit rest normal
};

// Parents of a sample, as indices into the arrays of all particles.
template <class S>
struct SampleParents {
  const std::int32_t* index;  // one per parent
  const Vec3<S>* all_x;       // [m]
  const Mat3<S>* all_F;

  DIFFMPM_HD const Vec3<S>& x(int k) const { return all_x[index[k]]; }
  DIFFMPM_HD const Mat3<S>& F(int k) const { return all_F[index[k]]; }
};

inline constexpr int kParentComponents = 12;
template <class S>
struct ParentAdjoint {
  Vec3<S> x;
  Mat3<S> F;
};

template <class S>
struct SampleState {
  Vec3<S> mean;   // [m]
  Mat3<S> covar;  // [m^2]
  Vec3<S> normal;
  S* w;  // weights, one per parent
};

// Intermediate values for the adjoint.
template <class S>
struct SampleSaved {
  Vec3<S> anchor;  // q
  S sum;           // sum of the weights before normalisation
  Mat3<S> F;       // interpolated
  Vec3<S> area;    // cofactor(F) n0
};

// Eq. 6.3: weights w_k = (K(|q - x_k|^2 / s^2) + kWeightFloor) / sum, with the anchor q = x_0 + F_0 r_0 the position of the sample
// as carried by its first parent.
template <class S>
DIFFMPM_HD void sample_weights(const SampleRest<S>& rest, const SampleParents<S>& p, S* w, SampleSaved<S>& saved) {
  saved.anchor = p.x(0) + mul(p.F(0), rest.r[0]);
  const S scale = S(1) / (rest.support * rest.support);
  saved.sum = S(0);
  for (int k = 0; k < rest.count; ++k) {
    const Vec3<S> d = saved.anchor - p.x(k);
    w[k] = weight_kernel(dot(d, d) * scale) + S(kWeightFloor);
    saved.sum += w[k];
  }
  const S inverse = S(1) / saved.sum;
  for (int k = 0; k < rest.count; ++k) w[k] *= inverse;
}

template <class S>
DIFFMPM_HD void sample_weights_vjp(const SampleRest<S>& rest, const SampleParents<S>& p, const S* w,
                                   const SampleSaved<S>& saved, const S* adj_w, ParentAdjoint<S>* adj_p) {
  S mean(0);
  for (int k = 0; k < rest.count; ++k) mean += w[k] * adj_w[k];
  const S scale = S(1) / (rest.support * rest.support), inverse = S(1) / saved.sum;
  Vec3<S> adj_anchor = Vec3<S>::zero();
  for (int k = 0; k < rest.count; ++k) {
    const Vec3<S> d = saved.anchor - p.x(k);
    S adj_u(0);
    weight_kernel_vjp(dot(d, d) * scale, (adj_w[k] - mean) * inverse, adj_u);
    const Vec3<S> adj_d = (S(2) * scale * adj_u) * d;
    adj_anchor += adj_d;
    adj_p[k].x -= adj_d;
  }
  adj_p[0].x += adj_anchor;
  adj_p[0].F += outer_product(adj_anchor, rest.r[0]);
}

// Eq. 6.6: unit normal cofactor(F) n0 / |cofactor(F) n0| of an area element deformed by F.
template <class S>
DIFFMPM_HD Vec3<S> carry_normal(const Mat3<S>& F, const Vec3<S>& n0, Vec3<S>& area) {
  area = mul(cofactor(F), n0);
  const S squared = dot(area, area), size = contract(F, F);
  if (!(squared > S(kNoNormal) * size * size)) return n0;
  return (S(1) / vsqrt(squared)) * area;
}

template <class S>
DIFFMPM_HD void carry_normal_vjp(const Mat3<S>& F, const Vec3<S>& n0, const Vec3<S>& area, const Vec3<S>& normal,
                                 const Vec3<S>& adj_normal, Mat3<S>& adj_F) {
  const S squared = dot(area, area), size = contract(F, F);
  if (!(squared > S(kNoNormal) * size * size)) return;
  const S inverse = S(1) / vsqrt(squared);
  const Vec3<S> adj_area = inverse * (adj_normal - dot(normal, adj_normal) * normal);
  cofactor_vjp(F, outer_product(adj_area, n0), adj_F);
}

// Eq. 6.5: covariance sigma0^2 F A0 A0^T F^T.
template <class S>
DIFFMPM_HD Mat3<S> carry_covariance(const Mat3<S>& F, const Mat3<S>& axes, const S& sigma0) {
  const Mat3<S> B = mul(F, axes);
  return (sigma0 * sigma0) * mul_nt(B, B);
}

// adj_covar need not be symmetric.
template <class S>
DIFFMPM_HD void carry_covariance_vjp(const Mat3<S>& F, const Mat3<S>& axes, const S& sigma0, const Mat3<S>& adj_covar,
                                     Mat3<S>& adj_F, S& adj_sigma0) {
  const Mat3<S> B = mul(F, axes);
  const Mat3<S> adj_B = S(2) * mul(symmetric(adj_covar), B);  // over sigma0^2
  adj_F += (sigma0 * sigma0) * mul_nt(adj_B, axes);
  adj_sigma0 += sigma0 * contract(adj_B, B);
}

// Eq. 6.4: mean sum_k w_k (x_k + F_k r_k) and F = sum_k w_k F_k; then (6.5) and (6.6).
template <class S>
DIFFMPM_HD void interpolate(const SampleRest<S>& rest, const SampleParents<S>& p, const S& sigma0,
                            SampleState<S>& state, SampleSaved<S>& saved) {
  sample_weights(rest, p, state.w, saved);
  state.mean = Vec3<S>::zero();
  saved.F = Mat3<S>::zero();
  for (int k = 0; k < rest.count; ++k) {
    state.mean += state.w[k] * (p.x(k) + mul(p.F(k), rest.r[k]));
    saved.F += state.w[k] * p.F(k);
  }
  state.covar = carry_covariance(saved.F, rest.axes, sigma0);
  state.normal = carry_normal(saved.F, rest.normal, saved.area);
}

// `adj.w` holds the cotangent of the weights and is overwritten. The sample gathers from its parents, so the adjoint scatters to
// them: it writes adj_p, one per parent, and the driver sums over the samples.
template <class S>
DIFFMPM_HD void interpolate_vjp(const SampleRest<S>& rest, const SampleParents<S>& p, const S& sigma0,
                                const SampleState<S>& state, const SampleSaved<S>& saved, SampleState<S>& adj,
                                ParentAdjoint<S>* adj_p, S& adj_sigma0) {
  Mat3<S> adj_F = Mat3<S>::zero();
  carry_normal_vjp(saved.F, rest.normal, saved.area, state.normal, adj.normal, adj_F);
  carry_covariance_vjp(saved.F, rest.axes, sigma0, adj.covar, adj_F, adj_sigma0);
  for (int k = 0; k < rest.count; ++k) {
    adj.w[k] += dot(adj.mean, p.x(k) + mul(p.F(k), rest.r[k])) + contract(adj_F, p.F(k));
    adj_p[k].x = state.w[k] * adj.mean;
    adj_p[k].F = state.w[k] * (adj_F + outer_product(adj.mean, rest.r[k]));
  }
  sample_weights_vjp(rest, p, state.w, saved, adj.w, adj_p);
}

}  // namespace diffmpm::surface
