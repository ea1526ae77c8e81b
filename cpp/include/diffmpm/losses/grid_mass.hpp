// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "diffmpm/core/macros.hpp"
#include "diffmpm/losses/losses.hpp"

// Losses of one grid node's mass m against the target's, value and derivative (docs/method.md, section 4).

DIFFMPM_BEGIN_ISA

// Eq. 4.1: 1/2 [log(1 + m / m_ref) - log(1 + target / m_ref)]^2 (Xu et al. 2024).
struct LogMassNode {
  template <class T>
  static DIFFMPM_HD T value(T m, T target, T m_ref, T& adj_m) {
    // log1p of the ratio's excess over 1 keeps its digits where both masses are large and nearly equal; of the ratio or
    // its inverse, whichever is above 1, as the excess of a tiny one rounds to -1.
    const T r = m >= target ? std::log1p((m - target) / (m_ref + target)) : -std::log1p((target - m) / (m_ref + m));
    adj_m = r / (m_ref + m);
    return T(0.5) * r * r;
  }
};

// 1/2 (m - target)^2; m_ref is not used.
struct SquaredMassNode {
  template <class T>
  static DIFFMPM_HD T value(T m, T target, T, T& adj_m) {
    adj_m = m - target;
    return T(0.5) * adj_m * adj_m;
  }
};

// The mass losses. A new one is a node beside these, an enumerator of `MassLoss` with its name, and one case here.
template <class Function>
void visit_mass_loss(MassLoss loss, Function&& function) {
  switch (loss) {
    case MassLoss::squared: return function(SquaredMassNode{});
    case MassLoss::log: break;
  }
  return function(LogMassNode{});
}

// A node of the loss: the target's nodes count once, all others `outside_weight` times.
template <class Node, class T>
DIFFMPM_HD T weighted_mass_node(T m, T target, T m_ref, T outside_weight, T& adj_m) {
  adj_m = T(0);
  // Most nodes of a grid are empty on both sides.
  if (m == T(0) && target == T(0)) return T(0);
  const T weight = target > T(0) ? T(1) : outside_weight;
  const T value = Node::value(m, target, m_ref, adj_m);
  adj_m *= weight;
  return weight * value;
}

DIFFMPM_END_ISA
