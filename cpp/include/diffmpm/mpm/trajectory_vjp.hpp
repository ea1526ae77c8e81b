// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/mpm/trajectory.hpp"

// The backward pass.

namespace diffmpm {

template <class Backend>
void Trajectory<Backend>::add_cotangents(std::int64_t layer, Reverse& r) {
  for (const StateAdjoint<T>& a : r.adjoints) {
    if (a.layer != layer) continue;
    const auto add = [&](const T* values, int component, int width) {
      if (values) backend_.add_to_groups(order(r.ordering), values, width, r.adj.data(), components_, component);
    };
    add(a.x, kX, 3), add(a.v, kV, 3), add(a.C, kC, 9), add(a.F, kF, 9);
    if (in_.motion_gradient) add(a.G, kG, 9);
  }
}

// Reorders the cotangents for `step`. Returns the state of the next layer in that order.
template <class Backend>
auto Trajectory<Backend>::enter_ordering(std::int64_t step, Reverse& r) -> const T* {
  const int ordering = at(step).ordering;
  const T* next = at(step + 1).state.data();
  if (ordering == r.ordering) return next;
  const Layout& layout = order(ordering);
  backend_.leave_order(order(r.ordering));
  backend_.reserve(r.next, state_size(ordering));
  backend_.reorder(layout, next, r.next.data(), components_, false);
  backend_.reset_padding(layout, r.next.data(), components_);
  const auto move = [&](Buffer<T>& groups, int stride) {
    backend_.reserve(r.spare, static_cast<std::size_t>(layout.group_count() * stride * kLanes));
    backend_.reorder(layout, groups.data(), r.spare.data(), stride, true);
    std::swap(groups, r.spare);
  };
  move(r.adj, components_);
  if (r.adj_properties) move(r.adj_properties, property_components_);
  r.ordering = ordering;
  return r.next.data();
}

// Steps `step`, `step` - 1, ... of one ordering.
template <class Backend>
void Trajectory<Backend>::reverse_batch(std::int64_t step, std::int64_t count, Reverse& r) {
  const T* next = enter_ordering(step, r);
  Args shared = args(r.ordering);
  shared.adj = r.adj.data(), shared.adj_properties = r.adj_properties.data();
  const auto arguments = [&](std::int64_t k) {
    const std::int64_t n = step - k;
    add_cotangents(n + 1, r);
    Args a = shared;
    a.control = control_at(n);
    a.state = at(n).state.data(), a.grid_mq = at(n).grid.data();
    a.next = const_cast<T*>(k == 0 ? next : at(n + 1).state.data());  // the adjoint passes only read it
    if (a.control && r.out.control) a.adj_control = r.out.control + n / in_.control_stride * in_.count * 9;
    return a;
  };
  const BatchOutcome batch = backend_.adjoint(count, arguments, r.out.gravity, r.out.drag);
  if (batch.flags & kFlagDegenerate) report_degenerate(step - batch.steps + 1);
}

// Steps [begin, end) whose layers and grids are all stored.
template <class Backend>
void Trajectory<Backend>::reverse_stored(std::int64_t begin, std::int64_t end, Reverse& r) {
  for (std::int64_t n = end - 1; n >= begin;) {
    poll();
    const std::int64_t first = first_of_ordering(n), most = backend_.batch_steps(n - first + 1);
    const std::int64_t count = std::min(n - std::max(begin, first) + 1, most);
    reverse_batch(n, count, r);
    n -= count;
  }
}

// Steps [begin, end) whose first and last layers are stored, with memory for `slots` more. Recomputes all layers where they fit;
// otherwise stores some of them and treats each part likewise, the last one first.
template <class Backend>
void Trajectory<Backend>::reverse(std::int64_t begin, std::int64_t end, std::int64_t slots, Reverse& r) {
  const bool leaf = end - begin <= std::max<std::int64_t>(slots, 1);
  const std::int64_t parts = leaf ? end - begin : std::min(end - begin, std::max<std::int64_t>(1, slots / 2) + 1);
  const std::int64_t length = (end - begin + parts - 1) / parts;
  const std::int64_t last_part = begin + (end - begin - 1) / length * length;  // recomputed by its own call
  const auto stores = [&](std::int64_t n) { return (n - begin) % length == 0 && n < end; };
  // Releases memory after an error too: a layer with a buffer counts as stored.
  struct Recomputed {
    Trajectory& trajectory;
    std::int64_t begin, end;
    ~Recomputed() { trajectory.release(begin, end); }
  };
  const Recomputed recomputed{*this, begin, end};
  advance(
      begin, leaf ? end : last_part,
      [&](std::int64_t n) -> Buffer<T>& { return stores(n) ? at(n).state : scratch_[n % 2]; },
      [&](std::int64_t n) -> Buffer<T>& { return leaf ? at(n).grid : scratch_grid_; });
  if (leaf) {
    reverse_stored(begin, end, r);
  } else {
    for (std::int64_t n = last_part; n >= begin; n -= length)
      reverse(n, std::min(n + length, end), std::max<std::int64_t>(1, slots - parts + 1), r);
  }
}

// Releases the layers that reverse() has recomputed.
template <class Backend>
void Trajectory<Backend>::release(std::int64_t begin, std::int64_t end) {
  for (std::int64_t n = begin; n < end; ++n) {
    if (n > begin) at(n).state.reset();
    at(n).grid.reset();
  }
}

template <class Backend>
void Trajectory<Backend>::finish(Reverse& r) {
  add_cotangents(0, r);
  const Layout& layout = order(r.ordering);
  const auto state = [&](T* out, int component, int width) {
    if (out) backend_.from_groups(layout, r.adj.data(), components_, component, width, out);
  };
  const auto property = [&](T* out, int component, int width) {
    if (out) backend_.from_groups(layout, r.adj_properties.data(), property_components_, component, width, out);
  };
  state(r.out.x, kX, 3), state(r.out.v, kV, 3), state(r.out.C, kC, 9), state(r.out.F, kF, 9);
  if (in_.motion_gradient) state(r.out.G, kG, 9);
  property(r.out.mass, kMass, 1), property(r.out.volume, kVolume, 1);
  property(r.out.lam, kLam, 1), property(r.out.mu, kMu, 1);
  if (!in_.Fp || !r.out.Fp) return;
  property(r.out.Fp, kFpInv, 9);
  backend_.invert_vjp(in_.Fp, in_.count, r.out.Fp);
}

template <class Backend>
void Trajectory<Backend>::vjp(const std::vector<StateAdjoint<T>>& adjoints, RolloutGradients<T>& out) {
  for (const StateAdjoint<T>& a : adjoints) check_layer(a.layer);
  const std::lock_guard lock(busy_);
  Reverse r{adjoints, out, layers_.back().ordering, {}, {}, {}, {}};
  const auto lanes = static_cast<std::size_t>(order(r.ordering).group_count() * kLanes);
  const auto zeros = [&](Buffer<T>& groups, int stride) {
    backend_.reserve(groups, lanes * static_cast<std::size_t>(stride));
    backend_.clear(groups.data(), static_cast<std::int64_t>(groups.size()));
  };
  zeros(r.adj, components_);
  if (out.mass || out.volume || out.lam || out.mu || out.Fp) zeros(r.adj_properties, property_components_);
  std::fill(out.gravity, out.gravity + 3, 0.0);
  out.drag = 0;
  if (out.control) backend_.clear(out.control, in_.control_steps * in_.count * 9);
  const std::int64_t slots = std::max<std::int64_t>(1, capacity() - stored_layers());
  for (std::int64_t end = in_.steps; end > 0;) {
    std::int64_t begin = end - 1;
    while (!at(begin).state) --begin;
    if (at(begin).grid) {
      while (begin > 0 && at(begin - 1).state && at(begin - 1).grid) --begin;
      reverse_stored(begin, end, r);
    } else {
      reverse(begin, end, slots, r);
    }
    end = begin;
  }
  finish(r);
}

}  // namespace diffmpm
