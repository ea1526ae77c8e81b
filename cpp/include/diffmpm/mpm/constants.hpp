// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/core/macros.hpp"
#include "diffmpm/mpm/params.hpp"

// The parameters in the precision of a run, with the factors that the kernels use.

DIFFMPM_BEGIN_ISA

template <class T>
struct ColliderConstants {
  ColliderShape shape;
  Boundary mode;
  T point[3];
  T normal[3];
  T radius;
};

template <class T>
struct StepConstants {
  T dx, inv_dx, dt;
  T origin[3];
  Index dims[3];
  T inv_D;          // 4 / dx^2 quadratic, 3 / dx^2 cubic
  T keep_momentum;  // 1 - dt drag
  T smoothing;
  T gravity[3];
  T shear_viscosity, bulk_viscosity, damping;
  Material material;
  Boundary boundary;
  Index boundary_nodes;
  bool volume_carried;
  int collider_count;
  ColliderConstants<T> colliders[kMaxColliders];
};

template <class T>
inline StepConstants<T> step_constants(const MpmParams& p) {
  StepConstants<T> c{};
  c.dx = T(p.dx), c.inv_dx = T(1 / p.dx), c.dt = T(p.dt);
  c.inv_D = T((p.basis == Basis::cubic ? 3.0 : 4.0) / (p.dx * p.dx));
  c.keep_momentum = T(1 - p.dt * p.drag);
  c.smoothing = T(p.smoothing);
  for (int r = 0; r < 3; ++r) {
    c.origin[r] = T(p.origin[r]);
    c.dims[r] = p.dims[r];
    c.gravity[r] = T(p.gravity[r]);
  }
  c.shear_viscosity = T(p.shear_viscosity), c.bulk_viscosity = T(p.bulk_viscosity), c.damping = T(p.damping);
  c.material = p.material, c.boundary = p.boundary, c.boundary_nodes = p.boundary_nodes;
  c.volume_carried = p.volume_carried;
  c.collider_count = static_cast<int>(p.colliders.size());
  for (int n = 0; n < c.collider_count; ++n) {
    const Collider& in = p.colliders[static_cast<std::size_t>(n)];
    ColliderConstants<T>& out = c.colliders[n];
    out.shape = in.shape, out.mode = in.mode, out.radius = T(in.radius);
    for (int r = 0; r < 3; ++r) out.point[r] = T(in.point[r]), out.normal[r] = T(in.normal[r]);
  }
  return c;
}

DIFFMPM_END_ISA
