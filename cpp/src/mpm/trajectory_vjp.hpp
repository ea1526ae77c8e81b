// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "trajectory.hpp"

// The way back along a trajectory.

namespace diffmpm {

template <class T, class Backend>
void Trajectory<T, Backend>::add_cotangents(std::int64_t layer, Reverse& r) {
  for (const StateAdjoint<T>& a : r.adjoints) {
    if (a.layer != layer) continue;
    const auto add = [&](const T* values, int component, int width) {
      if (values) backend_.add_to_groups(order(r.epoch), values, width, r.adj.data(), components_, component);
    };
    add(a.x, kX, 3), add(a.v, kV, 3), add(a.C, kC, 9), add(a.F, kF, 9);
    if (in_.motion_gradient) add(a.G, kG, 9);
  }
}

// Bring the cotangents into the order of `step`; returns the following layer's state in that order.
template <class T, class Backend>
const T* Trajectory<T, Backend>::enter_epoch(std::int64_t step, Reverse& r) {
  const int epoch = at(step).epoch;
  const T* next = at(step + 1).state.data();
  if (epoch == r.epoch) return next;
  const Layout& layout = order(epoch);
  backend_.leave_order(order(r.epoch));
  backend_.reserve(r.next, state_size(epoch));
  backend_.reorder(layout, next, r.next.data(), components_, false);
  backend_.reset_padding(layout, r.next.data(), components_);
  const auto move = [&](Buffer<T>& groups, int stride) {
    backend_.reserve(r.spare, static_cast<std::size_t>(layout.group_count() * stride * kLanes));
    backend_.reorder(layout, groups.data(), r.spare.data(), stride, true);
    std::swap(groups, r.spare);
  };
  move(r.adj, components_);
  move(r.adj_constants, const_components_);
  r.epoch = epoch;
  return r.next.data();
}

template <class T, class Backend>
void Trajectory<T, Backend>::reverse_step(std::int64_t step, Reverse& r) {
  if (in_.poll) in_.poll();
  const T* next = enter_epoch(step, r);
  Args a = args(step);
  a.state = at(step).state.data(), a.grid_mq = at(step).grid.data();
  a.next = const_cast<T*>(next);  // the adjoint passes only read it
  a.adj = r.adj.data(), a.adj_constants = r.adj_constants.data();
  if (a.control && r.out.control) a.adj_control = r.out.control + step / in_.control_stride * in_.count * 9;
  if (backend_.adjoint(a, r.out.gravity, r.out.drag) & kFlagBad) report_degenerate(step);
  add_cotangents(step, r);
}

// Steps [begin, end), whose layers and grids are all in memory.
template <class T, class Backend>
void Trajectory<T, Backend>::reverse_stored(std::int64_t begin, std::int64_t end, Reverse& r) {
  for (std::int64_t n = end - 1; n >= begin; --n) reverse_step(n, r);
}

// Steps [begin, end), whose first and last layers are in memory, with room for `slots` more layers: refill and go back
// where they fit, else keep some layers between and do the same with each part, the last one first.
template <class T, class Backend>
void Trajectory<T, Backend>::reverse(std::int64_t begin, std::int64_t end, std::int64_t slots, Reverse& r) {
  const bool leaf = end - begin <= std::max<std::int64_t>(slots, 1);
  const std::int64_t parts = leaf ? end - begin : std::min(end - begin, std::max<std::int64_t>(1, slots / 2) + 1);
  const std::int64_t length = (end - begin + parts - 1) / parts;
  const Buffer<T>* state = &at(begin).state;
  for (std::int64_t n = begin; n < end; ++n) {
    if (!leaf && n + length >= end && (n - begin) % length == 0) break;  // the last part is refilled by its own call
    const bool keep = (n + 1 - begin) % length == 0 && n + 1 < end;
    Buffer<T>& next = keep ? at(n + 1).state : scratch_[n % 2];
    advance(n, *state, next, leaf ? at(n).grid : scratch_grid_);
    state = &next;
  }
  if (leaf) {
    reverse_stored(begin, end, r);
  } else {
    for (std::int64_t n = begin + (end - begin - 1) / length * length; n >= begin; n -= length)
      reverse(n, std::min(n + length, end), std::max<std::int64_t>(1, slots - parts + 1), r);
  }
  for (std::int64_t n = begin; n < end; ++n) {
    if (n > begin) at(n).state.reset();
    at(n).grid.reset();
  }
}

template <class T, class Backend>
void Trajectory<T, Backend>::finish(Reverse& r) {
  const Layout& layout = order(r.epoch);
  const auto state = [&](T* out, int component, int width) {
    if (out) backend_.from_groups(layout, r.adj.data(), components_, component, width, out);
  };
  const auto constant = [&](T* out, int component, int width) {
    if (out) backend_.from_groups(layout, r.adj_constants.data(), const_components_, component, width, out);
  };
  state(r.out.x, kX, 3), state(r.out.v, kV, 3), state(r.out.C, kC, 9), state(r.out.F, kF, 9);
  if (in_.motion_gradient) state(r.out.G, kG, 9);
  constant(r.out.mass, kMass, 1), constant(r.out.volume, kVolume, 1);
  constant(r.out.lam, kLam, 1), constant(r.out.mu, kMu, 1);
  if (!in_.Fp || !r.out.Fp) return;
  constant(r.out.Fp, kFpInv, 9);
  backend_.invert_vjp(in_.Fp, in_.count, r.out.Fp);
}

template <class T, class Backend>
void Trajectory<T, Backend>::vjp(const std::vector<StateAdjoint<T>>& adjoints, RolloutGradients<T>& out) {
  const std::lock_guard lock(busy_);
  Reverse r{adjoints, out, layers_.back().epoch, {}, {}, {}, {}};
  const auto lanes = static_cast<std::size_t>(order(r.epoch).group_count() * kLanes);
  const auto zeros = [&](Buffer<T>& groups, int stride) {
    backend_.reserve(groups, lanes * static_cast<std::size_t>(stride));
    backend_.clear(groups.data(), static_cast<std::int64_t>(groups.size()));
  };
  zeros(r.adj, components_);
  zeros(r.adj_constants, const_components_);
  std::fill(out.gravity, out.gravity + 3, 0.0);
  out.drag = 0;
  if (out.control) backend_.clear(out.control, in_.control_layers * in_.count * 9);
  add_cotangents(in_.steps, r);
  const std::int64_t slots = std::max<std::int64_t>(1, capacity() - stored_layers());
  for (std::int64_t end = in_.steps; end > 0;) {
    std::int64_t begin = end - 1;
    while (!at(begin).state) --begin;
    if (at(begin).grid) {
      reverse_stored(begin, end, r);
    } else {
      reverse(begin, end, slots, r);
    }
    end = begin;
  }
  finish(r);
}

}  // namespace diffmpm
