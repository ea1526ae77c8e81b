// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/core/macros.hpp"

// 3-vectors and 3x3 matrices (row-major) over a scalar or a pack.

DIFFMPM_BEGIN_ISA

template <class S>
struct Vec3 {
  S c[3];
  DIFFMPM_HD S& operator[](int r) { return c[r]; }
  DIFFMPM_HD const S& operator[](int r) const { return c[r]; }
  static DIFFMPM_HD Vec3 zero() { return {{S(0), S(0), S(0)}}; }
  DIFFMPM_HD Vec3& operator+=(const Vec3& o) {
    for (int r = 0; r < 3; ++r) c[r] += o.c[r];
    return *this;
  }
  DIFFMPM_HD Vec3& operator-=(const Vec3& o) {
    for (int r = 0; r < 3; ++r) c[r] -= o.c[r];
    return *this;
  }
  friend DIFFMPM_HD Vec3 operator+(Vec3 a, const Vec3& b) { return a += b; }
  friend DIFFMPM_HD Vec3 operator-(Vec3 a, const Vec3& b) { return a -= b; }
  friend DIFFMPM_HD Vec3 operator*(const S& s, const Vec3& a) { return {{s * a.c[0], s * a.c[1], s * a.c[2]}}; }
};

template <class S>
DIFFMPM_HD S dot(const Vec3<S>& a, const Vec3<S>& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

template <class S>
struct Mat3 {
  S m[9];
  DIFFMPM_HD S& operator()(int r, int s) { return m[3 * r + s]; }
  DIFFMPM_HD const S& operator()(int r, int s) const { return m[3 * r + s]; }
  static DIFFMPM_HD Mat3 zero() { return diagonal(S(0)); }
  static DIFFMPM_HD Mat3 identity() { return diagonal(S(1)); }
  static DIFFMPM_HD Mat3 diagonal(const S& s) {
    const S o(0);
    return {{s, o, o, o, s, o, o, o, s}};
  }
  DIFFMPM_HD Mat3& operator+=(const Mat3& o) {
    for (int n = 0; n < 9; ++n) m[n] += o.m[n];
    return *this;
  }
  DIFFMPM_HD Mat3& operator-=(const Mat3& o) {
    for (int n = 0; n < 9; ++n) m[n] -= o.m[n];
    return *this;
  }
  DIFFMPM_HD Mat3& add_diagonal(const S& s) {
    m[0] += s, m[4] += s, m[8] += s;
    return *this;
  }
  friend DIFFMPM_HD Mat3 operator+(Mat3 a, const Mat3& b) { return a += b; }
  friend DIFFMPM_HD Mat3 operator-(Mat3 a, const Mat3& b) { return a -= b; }
  friend DIFFMPM_HD Mat3 operator*(const S& s, const Mat3& a) {
    Mat3 r;
    for (int n = 0; n < 9; ++n) r.m[n] = s * a.m[n];
    return r;
  }
};

// a b
template <class S>
DIFFMPM_HD Mat3<S> mul(const Mat3<S>& a, const Mat3<S>& b) {
  Mat3<S> r;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) r(i, j) = a(i, 0) * b(0, j) + a(i, 1) * b(1, j) + a(i, 2) * b(2, j);
  return r;
}

// a b^T
template <class S>
DIFFMPM_HD Mat3<S> mul_nt(const Mat3<S>& a, const Mat3<S>& b) {
  Mat3<S> r;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) r(i, j) = a(i, 0) * b(j, 0) + a(i, 1) * b(j, 1) + a(i, 2) * b(j, 2);
  return r;
}

// a^T b
template <class S>
DIFFMPM_HD Mat3<S> mul_tn(const Mat3<S>& a, const Mat3<S>& b) {
  Mat3<S> r;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) r(i, j) = a(0, i) * b(0, j) + a(1, i) * b(1, j) + a(2, i) * b(2, j);
  return r;
}

template <class S>
DIFFMPM_HD Vec3<S> mul(const Mat3<S>& a, const Vec3<S>& b) {
  Vec3<S> r;
  for (int i = 0; i < 3; ++i) r[i] = a(i, 0) * b[0] + a(i, 1) * b[1] + a(i, 2) * b[2];
  return r;
}

// a^T b
template <class S>
DIFFMPM_HD Vec3<S> mul_tn(const Mat3<S>& a, const Vec3<S>& b) {
  Vec3<S> r;
  for (int i = 0; i < 3; ++i) r[i] = a(0, i) * b[0] + a(1, i) * b[1] + a(2, i) * b[2];
  return r;
}

// a : b
template <class S>
DIFFMPM_HD S contract(const Mat3<S>& a, const Mat3<S>& b) {
  S sum = a.m[0] * b.m[0];
  for (int n = 1; n < 9; ++n) sum += a.m[n] * b.m[n];
  return sum;
}

// a b^T
template <class S>
DIFFMPM_HD Mat3<S> outer_product(const Vec3<S>& a, const Vec3<S>& b) {
  Mat3<S> r;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) r(i, j) = a[i] * b[j];
  return r;
}

template <class S>
DIFFMPM_HD S trace(const Mat3<S>& a) {
  return a.m[0] + a.m[4] + a.m[8];
}

template <class S>
DIFFMPM_HD Mat3<S> symmetric(const Mat3<S>& a) {
  Mat3<S> r;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) r(i, j) = S(0.5) * (a(i, j) + a(j, i));
  return r;
}

// Cofactor matrix d det(a) / d a = det(a) a^-T.
template <class S>
DIFFMPM_HD Mat3<S> cofactor(const Mat3<S>& a) {
  return {{a.m[4] * a.m[8] - a.m[5] * a.m[7], a.m[5] * a.m[6] - a.m[3] * a.m[8], a.m[3] * a.m[7] - a.m[4] * a.m[6],
           a.m[2] * a.m[7] - a.m[1] * a.m[8], a.m[0] * a.m[8] - a.m[2] * a.m[6], a.m[1] * a.m[6] - a.m[0] * a.m[7],
           a.m[1] * a.m[5] - a.m[2] * a.m[4], a.m[2] * a.m[3] - a.m[0] * a.m[5], a.m[0] * a.m[4] - a.m[1] * a.m[3]}};
}

// The cofactor is half the tensor cross product of a with itself, and that product is symmetric: adj_a += a x adj_cof, where
// (a x b)(i, j) is the sum of the two mixed 2x2 minors of the rows and columns other than i, j.
template <class S>
DIFFMPM_HD void cofactor_vjp(const Mat3<S>& a, const Mat3<S>& adj_cof, Mat3<S>& adj_a) {
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) {
      const int i1 = (i + 1) % 3, i2 = (i + 2) % 3, j1 = (j + 1) % 3, j2 = (j + 2) % 3;
      adj_a(i, j) += a(i1, j1) * adj_cof(i2, j2) - a(i1, j2) * adj_cof(i2, j1) + a(i2, j2) * adj_cof(i1, j1) -
                     a(i2, j1) * adj_cof(i1, j2);
    }
}

// det(a) from the cofactors of a.
template <class S>
DIFFMPM_HD S determinant(const Mat3<S>& a, const Mat3<S>& cof) {
  return a.m[0] * cof.m[0] + a.m[1] * cof.m[1] + a.m[2] * cof.m[2];
}
template <class S>
DIFFMPM_HD S determinant(const Mat3<S>& a) {
  return determinant(a, cofactor(a));
}

template <class S>
DIFFMPM_HD Mat3<S> inverse(const Mat3<S>& a) {
  const Mat3<S> cof = cofactor(a);
  const S inv_det = S(1) / determinant(a, cof);
  Mat3<S> r;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) r(i, j) = inv_det * cof(j, i);
  return r;
}

// adj_a = -a^-T adj_inverse a^-T, in terms of the inverse.
template <class S>
DIFFMPM_HD Mat3<S> inverse_vjp(const Mat3<S>& inverse, const Mat3<S>& adj_inverse) {
  return S(-1) * mul_tn(inverse, mul_nt(adj_inverse, inverse));
}

DIFFMPM_END_ISA
