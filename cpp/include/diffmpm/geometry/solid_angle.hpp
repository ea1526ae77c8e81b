// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "diffmpm/core/macros.hpp"

namespace diffmpm::geometry {

// Geometry runs in double, because positions have any scale and offset; it is not a bottleneck.
struct Point {
  double x = 0.0, y = 0.0, z = 0.0;
};

DIFFMPM_HD Point operator+(const Point& a, const Point& b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
DIFFMPM_HD Point operator-(const Point& a, const Point& b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
DIFFMPM_HD Point operator*(double s, const Point& a) { return {s * a.x, s * a.y, s * a.z}; }
DIFFMPM_HD double dot(const Point& a, const Point& b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
DIFFMPM_HD Point cross(const Point& a, const Point& b) {
  return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

inline constexpr double kFourPi = 12.566370614359172954;

// atan2(y, x), by its series for small angles, which costs a fifth: most triangles of a mesh subtend a small angle. At a slope
// of kSmallSlope the first omitted term is 7e-17 of the value.
inline constexpr double kSmallSlope = 0.1;
DIFFMPM_HD double fast_atan2(double y, double x) {
  if (!(std::abs(y) <= kSmallSlope * x) || x == 0.0) return std::atan2(y, x);
  const double t = y / x, s = t * t;
  return t * (1.0 -
              s * (1.0 / 3 - s * (1.0 / 5 - s * (1.0 / 7 - s * (1.0 / 9 - s * (1.0 / 11 - s * (1.0 / 13 - s / 15)))))));
}

// Signed solid angle [sr] of the triangle (a, b, c) seen from q; positive where the normal points away from q.
//   tan(omega / 2) = a.(b x c) / (|a||b||c| + (a.b)|c| + (b.c)|a| + (c.a)|b|)   with a, b, c relative to q
// Source: Van Oosterom and Strackee 1983. q on a vertex or in the triangle's plane gives 0 or +-2 pi, never NaN.
DIFFMPM_HD double solid_angle(const Point& q, const Point& va, const Point& vb, const Point& vc) {
  const Point a = va - q, b = vb - q, c = vc - q;
  const double la = std::sqrt(dot(a, a)), lb = std::sqrt(dot(b, b)), lc = std::sqrt(dot(c, c));
  const double numerator = dot(a, cross(b, c));
  const double denominator = la * lb * lc + dot(a, b) * lc + dot(b, c) * la + dot(c, a) * lb;
  return 2.0 * fast_atan2(numerator, denominator);
}

// Moments of a set of triangles about `center`, enough for a second-order expansion of its solid angle.
// With d = x - center, n the unit normal, integrals over the surface:
//   order0[r] = int n_r,  order1 = sym(int d n^T),  order2 = sym(int d d^T n), symmetrised over all indices.
struct Moments {
  Point center;            // area-weighted centroid
  double radius = 0.0;     // farthest vertex from the centre
  Point order0;            // area vector
  double order1[6] = {};   // xx yy zz xy xz yz
  double order2[10] = {};  // xxx yyy zzz xxy xxz xyy yyz xzz yzz xyz
};

// Adds triangle (a, b, c) to the moments about m.center, by exact integrals of linear and quadratic polynomials:
//   int d = A c_d,  int d d^T = A / 12 (sum_k d_k d_k^T + 9 c_d c_d^T)   with c_d the centroid relative to the centre.
DIFFMPM_HD void add_triangle(Moments& m, const Point& va, const Point& vb, const Point& vc) {
  const Point n = 0.5 * cross(vb - va, vc - va);  // area times unit normal
  const Point a = va - m.center, b = vb - m.center, c = vc - m.center;
  const Point g = (1.0 / 3.0) * (a + b + c);
  m.order0 = m.order0 + n;
  m.order1[0] += g.x * n.x;
  m.order1[1] += g.y * n.y;
  m.order1[2] += g.z * n.z;
  m.order1[3] += 0.5 * (g.x * n.y + g.y * n.x);
  m.order1[4] += 0.5 * (g.x * n.z + g.z * n.x);
  m.order1[5] += 0.5 * (g.y * n.z + g.z * n.y);
  const double xx = (a.x * a.x + b.x * b.x + c.x * c.x + 9.0 * g.x * g.x) / 12.0;
  const double yy = (a.y * a.y + b.y * b.y + c.y * c.y + 9.0 * g.y * g.y) / 12.0;
  const double zz = (a.z * a.z + b.z * b.z + c.z * c.z + 9.0 * g.z * g.z) / 12.0;
  const double xy = (a.x * a.y + b.x * b.y + c.x * c.y + 9.0 * g.x * g.y) / 12.0;
  const double xz = (a.x * a.z + b.x * b.z + c.x * c.z + 9.0 * g.x * g.z) / 12.0;
  const double yz = (a.y * a.z + b.y * b.z + c.y * c.z + 9.0 * g.y * g.z) / 12.0;
  constexpr double kThird = 1.0 / 3.0;
  m.order2[0] += xx * n.x;
  m.order2[1] += yy * n.y;
  m.order2[2] += zz * n.z;
  m.order2[3] += kThird * (xx * n.y + 2.0 * xy * n.x);
  m.order2[4] += kThird * (xx * n.z + 2.0 * xz * n.x);
  m.order2[5] += kThird * (yy * n.x + 2.0 * xy * n.y);
  m.order2[6] += kThird * (yy * n.z + 2.0 * yz * n.y);
  m.order2[7] += kThird * (zz * n.x + 2.0 * xz * n.z);
  m.order2[8] += kThird * (zz * n.y + 2.0 * yz * n.z);
  m.order2[9] += kThird * (xy * n.z + xz * n.y + yz * n.x);
}

// Solid angle [sr] of a far set of triangles, from its moments. With G(x) = (x - q) / |x - q|^3, r = center - q:
//   omega = order0 . G + order1 : grad G + 1/2 order2 : grad grad G
//   grad G      = I / r^3 - 3 r r^T / r^5
//   grad grad G = -3 (I r, symmetrised, three terms) / r^5 + 15 r r r / r^7
// Source: Barill et al. 2018, Fast winding numbers for soups and clouds, equation 13, without the factor 4 pi.
DIFFMPM_HD double far_solid_angle(const Moments& m, const Point& q) {
  const Point r = m.center - q;
  const double inv2 = 1.0 / dot(r, r);
  const double inv3 = inv2 * std::sqrt(inv2);
  const double* s = m.order1;
  const double* t = m.order2;
  const double first = dot(m.order0, r);
  const double trace1 = s[0] + s[1] + s[2];
  const double quadratic =
      r.x * (r.x * s[0] + 2.0 * (r.y * s[3] + r.z * s[4])) + r.y * (r.y * s[1] + 2.0 * r.z * s[5]) + r.z * r.z * s[2];
  const double trace2 = r.x * (t[0] + t[5] + t[7]) + r.y * (t[1] + t[3] + t[8]) + r.z * (t[2] + t[4] + t[6]);
  const double cubic = r.x * r.x * (r.x * t[0] + 3.0 * (r.y * t[3] + r.z * t[4])) +
                       r.y * r.y * (r.y * t[1] + 3.0 * (r.x * t[5] + r.z * t[6])) +
                       r.z * r.z * (r.z * t[2] + 3.0 * (r.x * t[7] + r.y * t[8])) + 6.0 * r.x * r.y * r.z * t[9];
  return inv3 * (first + trace1 - 3.0 * inv2 * quadratic + 0.5 * inv2 * (15.0 * inv2 * cubic - 9.0 * trace2));
}

}  // namespace diffmpm::geometry
