// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/functions.hpp"

// Opacity of a projected Gaussian at a pixel, front-to-back compositing, and their adjoints (Kerbl et al. 2023;
// docs/method.md, section 6).

DIFFMPM_BEGIN_ISA

// Largest opacity at a pixel. Keeps 1 - alpha above 0, because the backward pass divides by it.
inline constexpr double kAlphaMax = 0.999;
// A Gaussian with less opacity at a pixel, half a grey level of an 8-bit image, is skipped there. The ellipse bounded by this
// value decides which tiles a Gaussian enters.
inline constexpr double kAlphaMin = 1.0 / 255.0;
inline constexpr double kLog2AlphaMin = -7.994353436858858;  // log2(1 / 255)
// Early termination: the Gaussian that would lower the transmittance of a pixel below this is not composited and ends the pixel.
// Everything behind it could contribute at most 1e-4 of its colour.
inline constexpr double kTransmittanceMin = 1e-4;

inline constexpr double kLn2 = 0.693147180559945309417;
inline constexpr double kSqrtHalfLog2E = 0.849321800288019;  // sqrt(log2(e) / 2)

// The whitened Gaussian: with covar'^-1 = L L^T, the opacity at offset d is o exp(-|L^T d|^2 / 2) = 2^(log2 o - |w|^2),
// w = kSqrtHalfLog2E L^T d. Unlike d^T covar'^-1 d, the squares of w do not cancel where a Gaussian is long and thin.
template <class S>
struct Whitening {
  S xx, xy, yy;  // w = (xx dx + xy dy, yy dy)
};

// From the dilated covariance (xx, xy, yy), positive definite with determinant `det` [px^4].
template <class S>
DIFFMPM_HD Whitening<S> whitening(const S* covar, const S& det) {
  const S k(kSqrtHalfLog2E);
  const S root = vsqrt(det * covar[2]);
  return {k * covar[2] / root, S(-1) * k * covar[1] / root, k / vsqrt(covar[2])};
}

// log2 of the opacity at offset (dx, dy) from the mean; (u, v) is the whitened offset.
template <class S>
DIFFMPM_HD S splat_exponent(const Whitening<S>& w, const S& log2_opacity, const S& dx, const S& dy, S& u, S& v) {
  u = vfma(w.xx, dx, w.xy * dy);
  v = w.yy * dy;
  return vfma(S(-1) * v, v, vfma(S(-1) * u, u, log2_opacity));
}

// Sums over pixels of g (1, u, v, u^2, u v, v^2) with g = dL / d log(alpha), which is 0 where alpha is clamped or skipped.
template <class S>
struct SplatMoments {
  S m[6];
};
inline constexpr int kMoments = 6;

template <class S>
DIFFMPM_HD void add_moments(const S& g, const S& u, const S& v, S* m) {
  const S gu = g * u, gv = g * v;
  m[0] += g, m[1] += gu, m[2] += gv;
  m[3] = vfma(gu, u, m[3]), m[4] = vfma(gu, v, m[4]), m[5] = vfma(gv, v, m[5]);
}

// Eq. 6.9: adjoint of `whitening` and `splat_exponent` summed over the pixels, from the moments:
//   d log(alpha) = covar'^-1 d . d mean,  d log(alpha) = 1/2 (covar'^-1 d)(covar'^-1 d)^T : d covar',  covar'^-1 d = L w / kSqrtHalfLog2E.
// adj_covar[1] is the derivative with respect to the value of both off-diagonal entries.
template <class S>
DIFFMPM_HD void splat_exponent_vjp(const Whitening<S>& w, const S& opacity, const SplatMoments<S>& g, S* adj_mean,
                                   S* adj_covar, S& adj_opacity) {
  // Divided by kSqrtHalfLog2E^2: once for L, once for w.
  const S k(1.0 / (kSqrtHalfLog2E * kSqrtHalfLog2E));
  const S l = k * w.xx, m = k * w.xy, n = k * w.yy;
  const S u = g.m[1], v = g.m[2], uu = g.m[3], uv = g.m[4], vv = g.m[5];
  adj_opacity += g.m[0] / opacity;
  adj_mean[0] += l * u;
  adj_mean[1] += m * u + n * v;
  adj_covar[0] += S(0.5) * l * l * uu;
  adj_covar[1] += l * (m * uu + n * uv);
  adj_covar[2] += S(0.5) * (m * m * uu + S(2) * m * n * uv + n * n * vv);
}

// Eq. 6.8: alpha = min(kAlphaMax, 2^exponent), 0 where below kAlphaMin.
template <class S>
DIFFMPM_HD S splat_alpha(const S& exponent) {
  const S alpha = vmin(vexp2(exponent), S(kAlphaMax));
  return select(exponent >= S(kLog2AlphaMin), alpha, S(0));
}

// g = adj_alpha d alpha / d log(alpha): 0 where alpha is clamped or skipped (alpha = 0).
template <class S>
DIFFMPM_HD S splat_alpha_vjp(const S& alpha, const S& adj_alpha) {
  return select(alpha < S(kAlphaMax), adj_alpha * alpha, S(0));
}

// State of a pixel between two Gaussians.
template <class S>
struct PixelState {
  S open;           // transmittance, or 0 once the pixel has ended
  S transmittance;  // transmittance, also after the end of the pixel
  S end;            // number of list entries processed before early termination
};

// Weight alpha T of the next Gaussian, entry `position` of the list; 0 if it ends the pixel or the pixel has ended.
template <class S>
DIFFMPM_HD S composite(const S& alpha, const S& position, PixelState<S>& s) {
  const S weight = alpha * s.open;
  const S remaining = s.open - weight;
  const auto continues = remaining >= S(kTransmittanceMin);
  s.transmittance = select(continues, remaining, s.transmittance);
  s.end = select(continues, s.end, vmin(s.end, position));
  s.open = select(continues, remaining, S(0));
  return select(continues, weight, S(0));
}

// Adjoint state of a pixel between two Gaussians, back to front.
template <class S>
struct PixelAdjoint {
  S transmittance;  // behind the Gaussian before the call, in front of it afterwards
  S behind;         // sum of weight * adj_weight over everything behind, including the background and alpha
};

// Adjoint of `composite` for a Gaussian before the end of the pixel, with T the transmittance in front of it:
//   adj_alpha = T adj_weight - behind / (1 - alpha).
// `adj_weight` is the sum over channels of value * adj_pixel. alpha = 0 leaves the state unchanged.
template <class S>
DIFFMPM_HD S composite_vjp(const S& alpha, const S& adj_weight, PixelAdjoint<S>& s, S& weight) {
  const S inv = vinv(S(1) - alpha);
  s.transmittance = s.transmittance * inv;
  weight = alpha * s.transmittance;
  const S adj_alpha = s.transmittance * adj_weight - s.behind * inv;
  s.behind = vfma(weight, adj_weight, s.behind);
  return adj_alpha;
}

DIFFMPM_END_ISA
