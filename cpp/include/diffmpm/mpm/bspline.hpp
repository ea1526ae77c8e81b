// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/core/macros.hpp"
#include "diffmpm/math/scalar.hpp"
#include "diffmpm/mpm/params.hpp"

// Eq. 1.1: B-spline weights of one axis and their derivatives.
// A particle at grid coordinate s (position over spacing) touches the nodes base, base + 1, ... Offsets are counted from
// the centre node base + 1: node a lies at a - 1, the particle at e, in [0, 1) for the cubic and [-1/2, 1/2) for the
// quadratic basis. Small symmetric offsets keep the affine sums free of cancellation.

DIFFMPM_BEGIN_ISA

template <Basis B>
struct BSpline;

template <>
struct BSpline<Basis::quadratic> {
  static constexpr int kNodes = 3;
  static constexpr double kShift = 0.5;     // base = floor(s - kShift)
  static constexpr double kLowest = 0.5;    // smallest s whose nodes all exist
  static constexpr double kHighest = -1.5;  // s below dims + kHighest

  template <class S>
  static DIFFMPM_HD void weights(const S& e, S (&w)[kNodes], S (&dw)[kNodes]) {
    const S a = S(0.5) - e, b = S(0.5) + e;
    w[0] = S(0.5) * a * a, w[1] = S(0.75) - e * e, w[2] = S(0.5) * b * b;
    dw[0] = -a, dw[1] = S(-2) * e, dw[2] = b;
  }

  // Weight of one node as a function of e, for a thread that handles one node: constant + square t^2, t = shift + sign e.
  template <class T>
  struct NodeWeight {
    T shift, sign, constant, square;

    explicit DIFFMPM_HD NodeWeight(int node)
        : shift(node == 1 ? T(0) : T(0.5)),
          sign(node == 0 ? T(-1) : T(1)),
          constant(node == 1 ? T(0.75) : T(0)),
          square(node == 1 ? T(-1) : T(0.5)) {}
    DIFFMPM_HD T operator()(T e) const {
      const T t = shift + sign * e;
      return constant + square * t * t;
    }
  };
};

template <>
struct BSpline<Basis::cubic> {
  static constexpr int kNodes = 4;
  static constexpr double kShift = 1.0;
  static constexpr double kLowest = 1.0;
  static constexpr double kHighest = -2.0;

  template <class S>
  static DIFFMPM_HD void weights(const S& e, S (&w)[kNodes], S (&dw)[kNodes]) {
    using T = ScalarOf<S>;
    const S sixth(T(1) / T(6)), two_thirds(T(2) / T(3)), half(T(0.5));
    const S g = S(1) - e, e2 = e * e, g2 = g * g, zero(T(0));
    // Rounding may leave e just below 0 or above 1 for a particle on a node: clamp the outer cubes to zero there.
    w[0] = select(g < zero, zero, sixth * g2 * g), w[1] = two_thirds - e2 + half * e2 * e;
    w[2] = two_thirds - g2 + half * g2 * g, w[3] = select(e < zero, zero, sixth * e2 * e);
    dw[0] = select(g < zero, zero, -half * g2), dw[1] = S(T(1.5)) * e2 - S(2) * e;
    dw[2] = S(2) * g - S(T(1.5)) * g2, dw[3] = select(e < zero, zero, half * e2);
  }

  // Weight of one node as a function of e: constant + (square + cube t) t^2, t = shift + sign e.
  template <class T>
  struct NodeWeight {
    T shift, sign, constant, square, cube;

    explicit DIFFMPM_HD NodeWeight(int node)
        : shift(node % 2 == 0 ? T(1) : T(0)),
          sign(node % 2 == 0 ? T(-1) : T(1)),
          constant(node == 1 || node == 2 ? T(2) / T(3) : T(0)),
          square(node == 1 || node == 2 ? T(-1) : T(0)),
          cube(node == 1 || node == 2 ? T(0.5) : T(1) / T(6)) {}
    DIFFMPM_HD T operator()(T e) const {
      const T t = shift + sign * e, w = constant + (square + cube * t) * (t * t);
      return w < T(0) ? T(0) : w;  // as above
    }
  };
};

// First node and offset e of grid coordinate s.
template <Basis B, class S>
DIFFMPM_HD void locate(const S& s, S& base, S& e) {
  using T = ScalarOf<S>;
  base = floor_positive(s - S(T(BSpline<B>::kShift)));
  e = s - base - S(1);
}

// Whether all nodes of grid coordinate s exist on an axis of `nodes` nodes; false for NaN.
template <Basis B, class T>
DIFFMPM_HD bool inside_axis(T s, Index nodes) {
  return s >= T(BSpline<B>::kLowest) && s < T(nodes) + T(BSpline<B>::kHighest);
}

DIFFMPM_END_ISA
