// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "diffmpm/core/arrays.hpp"
#include "diffmpm/core/macros.hpp"
#include "diffmpm/losses/losses.hpp"

// Value and derivative of the mass losses at a node with mass m (docs/method.md, section 4), and the terms that the drivers of
// losses.hpp sum.

DIFFMPM_BEGIN_ISA

// Eq. 4.1: 1/2 [log(1 + m / m_ref) - log(1 + target / m_ref)]^2 (Xu et al. 2024).
struct LogMassNode {
  template <class T>
  static DIFFMPM_HD T value(T m, T target, T m_ref, T& adj_m) {
    // log1p of the excess of the ratio over 1 is accurate where both masses are large and nearly equal. The larger of the ratio
    // and its inverse is taken, because the excess of a tiny ratio rounds to -1.
    const T r = m >= target ? std::log1p((m - target) / (m_ref + target)) : -std::log1p((target - m) / (m_ref + m));
    adj_m = r / (m_ref + m);
    return T(0.5) * r * r;
  }
};

// 1/2 (m - target)^2; m_ref is unused.
struct SquaredMassNode {
  template <class T>
  static DIFFMPM_HD T value(T m, T target, T, T& adj_m) {
    adj_m = m - target;
    return T(0.5) * adj_m * adj_m;
  }
};

// Calls function with the node of a mass loss. A new loss is such a node, an enumerator of `MassLoss` with its name, and a case
// here.
template <class Function>
void visit_mass_loss(MassLoss loss, Function&& function) {
  switch (loss) {
    case MassLoss::squared: return function(SquaredMassNode{});
    case MassLoss::log: break;
  }
  return function(LogMassNode{});
}

// Loss of a node, weighted by `outside_weight` where the target has no mass.
template <class Node, class T>
DIFFMPM_HD T weighted_mass_node(T m, T target, T m_ref, T outside_weight, T& adj_m) {
  adj_m = T(0);
  // Most nodes of a grid are empty in both.
  if (m == T(0) && target == T(0)) return T(0);
  const T weight = target > T(0) ? T(1) : outside_weight;
  const T value = Node::value(m, target, m_ref, adj_m);
  adj_m *= weight;
  return weight * value;
}

template <class T, class Node>
struct MassTerm {
  const T *m, *target;
  T m_ref, outside_weight;
  T* adj_m;

  DIFFMPM_HD double operator()(std::int64_t n) const {
    return static_cast<double>(weighted_mass_node<Node>(m[n], target[n], m_ref, outside_weight, adj_m[n]));
  }
};

// Square of a component of the velocities.
template <class T>
struct KineticTerm {
  const T* v;
  T slope;  // 2 / particles
  T* adj_v;

  KineticTerm(std::int64_t particles, const T* velocities, T* adjoint)
      : v(velocities), slope(T(2) * (T(1) / static_cast<T>(particles))), adj_v(adjoint) {}
  DIFFMPM_HD double operator()(std::int64_t n) const {
    adj_v[n] = slope * v[n];
    return static_cast<double>(v[n]) * static_cast<double>(v[n]);
  }
};

// `LossFunctions::grid_mass` and `LossFunctions::kinetic` on the queue of either backend.
template <class T, class Queue>
void grid_mass_loss_on(Queue& queue, MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref,
                       T outside_weight, T* adj_m, double* value) {
  visit_mass_loss(loss, [&](auto node) {
    put_sum(queue, count, MassTerm<T, decltype(node)>{m, target, m_ref, outside_weight, adj_m}, value);
  });
}
template <class T, class Queue>
void kinetic_loss_on(Queue& queue, std::int64_t count, const T* v, T* adj_v, double* value) {
  put_sum(queue, 3 * count, KineticTerm<T>(count, v, adj_v), value);
  queue.for_all(ScaleItem<double>{1, value, {static_cast<double>(count)}, value});
}

DIFFMPM_END_ISA
