// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <limits>

#include "diffmpm/math/mat3.hpp"
#include "diffmpm/math/scalar.hpp"
#include "diffmpm/mpm/constants.hpp"

// Eq. 5: node update. v_i = q_i / m_i + dt g, then colliders in order, then the outer boundary.
// Conditions are linear projections once their switches are known, so each adjoint is the same projection.

DIFFMPM_BEGIN_ISA

// Nodes with less mass count as empty: q / m would have lost its digits to underflow.
template <class T>
inline constexpr T kMinNodeMass = std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon();

// Whether a node is inside a collider; n becomes the outward normal there.
template <class T>
DIFFMPM_HD bool collider_normal(const ColliderFields<T>& collider, const Vec3<T>& x, Vec3<T>& n) {
  Vec3<T> offset;
  for (int r = 0; r < 3; ++r) offset[r] = x[r] - collider.point[r];
  if (collider.shape == ColliderShape::half_space) {
    n = {{collider.normal[0], collider.normal[1], collider.normal[2]}};
    return dot(offset, n) < T(0);
  }
  const T distance2 = dot(offset, offset);
  if (!(distance2 < collider.radius * collider.radius)) return false;
  // The centre has no normal; use z.
  n = distance2 > T(0) ? (T(1) / vsqrt(distance2)) * offset : Vec3<T>{{T(0), T(0), T(1)}};
  return true;
}

// Projects v onto the velocities that a condition with outward normal n (pointing out of the obstacle) allows. `reference`
// decides whether a separating contact is closed: v itself forward, and the same velocity again in the adjoint.
template <class T>
DIFFMPM_HD void project(Boundary mode, const Vec3<T>& n, const Vec3<T>& reference, Vec3<T>& v) {
  if (mode == Boundary::sticky) {
    v = Vec3<T>::zero();
  } else if (mode == Boundary::slip || dot(reference, n) < T(0)) {
    v -= dot(v, n) * n;
  }
}

// The same on the outer node layers, whose obstacles are the axis-aligned walls of the grid.
template <class T>
DIFFMPM_HD void project_boundary(const StepConstants<T>& c, const Index (&node)[3], const Vec3<T>& reference,
                                 Vec3<T>& v) {
  if (c.boundary == Boundary::none) return;
  bool touched = false;
  for (int r = 0; r < 3; ++r) {
    const bool low = node[r] < c.boundary_nodes, high = node[r] >= c.dims[r] - c.boundary_nodes;
    touched |= low || high;
    const bool closed = (low && reference[r] < T(0)) || (high && reference[r] > T(0));
    if ((c.boundary == Boundary::slip && (low || high)) || (c.boundary == Boundary::separate && closed)) v[r] = T(0);
  }
  if (touched && c.boundary == Boundary::sticky) v = Vec3<T>::zero();
}

template <class T>
DIFFMPM_HD Vec3<T> node_position(const StepConstants<T>& c, const Index (&node)[3]) {
  Vec3<T> x;
  for (int r = 0; r < 3; ++r) x[r] = c.origin[r] + c.dx * T(node[r]);
  return x;
}

// Velocity [m/s] of a node with mass m [kg] and momentum q [kg m/s]; zero where the node is empty.
template <class T>
DIFFMPM_HD Vec3<T> grid_update(const StepConstants<T>& c, const Index (&node)[3], T m, const Vec3<T>& q) {
  if (!(m > kMinNodeMass<T>)) return Vec3<T>::zero();
  Vec3<T> v = (T(1) / m) * q;
  for (int r = 0; r < 3; ++r) v[r] += c.dt * c.gravity[r];
  for (int n = 0; n < c.collider_count; ++n) {
    Vec3<T> normal;
    if (collider_normal(c.colliders[n], node_position(c, node), normal)) project(c.colliders[n].mode, normal, v, v);
  }
  const Vec3<T> reference = v;
  project_boundary(c, node, reference, v);
  return v;
}

// Adjoint: adj_m, adj_q are written; adj_g (adjoint of the acceleration) is accumulated.
template <class T>
DIFFMPM_HD void grid_update_vjp(const StepConstants<T>& c, const Index (&node)[3], T m, const Vec3<T>& q, Vec3<T> adj_v,
                                T& adj_m, Vec3<T>& adj_q, double (&adj_g)[3]) {
  adj_m = T(0), adj_q = Vec3<T>::zero();
  if (!(m > kMinNodeMass<T>)) return;
  const T inv_m = T(1) / m;
  const Vec3<T> v_mean = inv_m * q;
  Vec3<T> v[kMaxColliders + 1];
  for (int r = 0; r < 3; ++r) v[0][r] = v_mean[r] + c.dt * c.gravity[r];
  Vec3<T> normal;
  for (int n = 0; n < c.collider_count; ++n) {
    v[n + 1] = v[n];
    if (collider_normal(c.colliders[n], node_position(c, node), normal))
      project(c.colliders[n].mode, normal, v[n], v[n + 1]);
  }
  project_boundary(c, node, v[c.collider_count], adj_v);
  for (int n = c.collider_count - 1; n >= 0; --n)
    if (collider_normal(c.colliders[n], node_position(c, node), normal))
      project(c.colliders[n].mode, normal, v[n], adj_v);
  adj_q = inv_m * adj_v;
  adj_m = -dot(adj_q, v_mean);
  for (int r = 0; r < 3; ++r) adj_g[r] += static_cast<double>(c.dt * adj_v[r]);
}

DIFFMPM_END_ISA
