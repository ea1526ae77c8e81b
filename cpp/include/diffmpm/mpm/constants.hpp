// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/core/macros.hpp"
#include "diffmpm/mpm/params.hpp"

// Parameters in the precision of a run, with derived factors of the kernels.

DIFFMPM_BEGIN_ISA

template <class T>
struct StepConstants : MpmFields<T> {
  T inv_dx;
  T inv_D;          // 4 / dx^2 quadratic, 3 / dx^2 cubic
  T keep_momentum;  // 1 - dt drag
  int collider_count;
  ColliderFields<T> colliders[kMaxColliders];
};

template <class T>
inline StepConstants<T> step_constants(const MpmParams& p) {
  StepConstants<T> c{};
  const auto convert = [](const auto& from, auto& to) {
    return [&](const char*, const Limits&, auto source, auto target) { assign_field(to.*target, from.*source); };
  };
  for_each_field<MpmParams, StepConstants<T>>(convert(p, c));
  c.inv_dx = T(1 / p.dx);
  c.inv_D = T((p.basis == Basis::cubic ? 3.0 : 4.0) / (p.dx * p.dx));
  c.keep_momentum = T(1 - p.dt * p.drag);
  c.collider_count = static_cast<int>(p.colliders.size());
  for (int n = 0; n < c.collider_count; ++n) {
    const Collider& collider = p.colliders[n];
    for_each_collider_field<Collider, ColliderFields<T>>(convert(collider, c.colliders[n]));
  }
  return c;
}

DIFFMPM_END_ISA
