// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/math/polar3.hpp"
#include "diffmpm/mpm/trajectory.hpp"

// Error path: identify the particle that made a step fail. Blocks only raise flags; the search runs on the host, in the caller's
// order.

namespace diffmpm {

template <class Backend>
struct Trajectory<Backend>::HostParticles {
  int components;
  std::vector<T> state, control, mass, volume, lam, mu, Fp;  // state (N, components); empty where absent

  const T* row(std::int64_t p) const { return state.data() + p * components; }
  static Mat3<T> matrix(const T* values) {
    Mat3<T> m;
    for (int k = 0; k < 9; ++k) m.m[k] = values[k];
    return m;
  }
  Mat3<T> controlled(std::int64_t p) const {
    const Mat3<T> F = matrix(row(p) + kF);
    return control.empty() ? F : F + matrix(control.data() + 9 * p);
  }
  // The elastic part of F.
  Mat3<T> elastic(std::int64_t p, const Mat3<T>& F) const {
    return Fp.empty() ? F : mul(F, inverse(matrix(Fp.data() + 9 * p)));
  }
  bool finite(std::int64_t p, const Mat3<T>& F) const {
    T sum(0);
    for (int k = 0; k < components; ++k) sum += row(p)[k] * T(0);
    return sum == T(0) && contract(F, F) * T(0) == T(0);
  }
  // Whether the contribution of a particle to the grid is finite.
  bool momentum_finite(const StepConstants<T>& c, std::int64_t p, const Mat3<T>& F) const {
    const auto n = static_cast<std::size_t>(p);
    Particle<T> particle{};
    particle.mass = mass[n], particle.volume = volume[n], particle.lam = lam[n], particle.mu = mu[n];
    for (int r = 0; r < 3; ++r) particle.v[r] = row(p)[kV + r];
    particle.C = matrix(row(p) + kC), particle.F = elastic(p, F);
    StressSaved<T> saved;
    const Momentum<T> q = particle_momentum<false>(c, particle, saved);
    return (dot(q.b, q.b) + contract(q.A, q.A)) * T(0) == T(0);
  }
};

template <class Backend>
typename Trajectory<Backend>::HostParticles Trajectory<Backend>::to_host(std::int64_t step, const T* groups) {
  Buffer<T> rows;
  backend_.reserve(rows, in_.count * components_);
  backend_.from_groups(order(at(step).ordering), groups, components_, 0, components_, rows.data());
  const auto copy = [&](const T* values, std::int64_t width) {
    return values ? backend_.to_host(values, in_.count * width) : std::vector<T>();
  };
  return {components_,
          copy(rows.data(), components_),
          copy(control_at(step), 9),
          copy(in_.mass, 1),
          copy(in_.volume, 1),
          copy(in_.lam, 1),
          copy(in_.mu, 1),
          copy(in_.Fp, 9)};
}

template <class Backend>
void Trajectory<Backend>::report(std::int64_t step, const T* state, const T* next) {
  const HostParticles host = to_host(step, next ? next : state);
  const StepConstants<T> c = step_constants<T>(params_);
  for (std::int64_t p = 0; p < in_.count; ++p) {
    const Mat3<T> F = next ? HostParticles::matrix(host.row(p) + kF) : host.controlled(p);
    if (!host.finite(p, F)) throw StepError(Cause::not_finite, p, step);
    if (!(determinant(F) > T(0))) {
      const bool initial = step == 0 && !next && !(determinant(HostParticles::matrix(host.row(p) + kF)) > T(0));
      throw StepError(Cause::inverted, p, step, initial);
    }
    if (!next && !host.momentum_finite(c, p, F)) throw StepError(Cause::not_finite, p, step);
    if (next && !inside_grid(c, params_.basis, host.row(p) + kX)) throw StepError(Cause::left_grid, p, step);
  }
  // A value at the edge of the grid that rounds to the inside here.
  throw StepError(next ? Cause::left_grid : Cause::inverted, 0, step);
}

template <class Backend>
void Trajectory<Backend>::report_degenerate(std::int64_t step) {
  const HostParticles host = to_host(step, at(step).state.data());
  T worst(1);
  std::int64_t particle = 0;
  for (std::int64_t p = 0; p < in_.count; ++p) {
    const Mat3<T> Fe = host.elastic(p, host.controlled(p));
    Mat3<T> unused = Mat3<T>::zero();
    T ratio(1);
    polar_rotation_vjp(Fe, polar_rotation(Fe), unused, unused, ratio);
    if (ratio < worst) worst = ratio, particle = p;
  }
  throw StepError(Cause::degenerate, particle, step);
}

}  // namespace diffmpm
