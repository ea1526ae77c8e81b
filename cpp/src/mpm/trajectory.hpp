// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "diffmpm/core/call.hpp"
#include "diffmpm/core/memory.hpp"
#include "diffmpm/math/mat3.hpp"
#include "diffmpm/mpm/blocks.hpp"
#include "diffmpm/mpm/p2g.hpp"
#include "diffmpm/mpm/rollout.hpp"

// The trajectory behind a rollout, on any backend: which layers are kept, when the order of the particles is renewed, and how
// the adjoint comes back. Layers 0..steps; step n takes layer n to n + 1. An ordering is a run of steps that share one order;
// layer n is stored in the order of step n.
//
// A backend holds the work space of a step and knows where memory is. It has
//   Layout, with group_count() and grid_count();  Args, with the fields of StepArgs
//   make_layout(x, count), find_outside(x, count), args(layout)
//   batch_steps(settled): how many steps to run together once an order has lasted for `settled`
//   forward(count, step), adjoint(count, step, gravity, drag): a batch. step(k) gives the arguments of its k-th step, k = 0, 1,
//     ..., and may put work before it. The batch ends behind the first step that raises a flag
//   reserve, clear, copy, to_host, default_budget: memory
//   to_groups, add_to_groups, from_groups, set_identity, reset_padding, leave_order, reorder: groups
//   invert, invert_vjp: matrices (N, 3, 3)

namespace diffmpm {

template <class T, class Backend>
class Trajectory : public AnyTrajectory<T> {
 public:
  Trajectory(const MpmParams& params, const RolloutInput<T>& input, Backend&& backend);
  Trajectory(const Trajectory&) = delete;
  Trajectory& operator=(const Trajectory&) = delete;

  const RolloutInput<T>& input() const override { return in_; }
  std::int64_t stored_layers() const override;
  void state(std::int64_t layer, T* x, T* v, T* C, T* F, T* G) override;
  void vjp(const std::vector<StateAdjoint<T>>& adjoints, RolloutGradients<T>& out) override;

 private:
  using Layout = typename Backend::Layout;
  using Args = typename Backend::Args;

  // An order of the particles.
  struct Ordering {
    Layout layout;
    std::int64_t first;  // step
  };

  struct Step {
    Buffer<T> state;  // layer n, empty where it is not kept
    Buffer<T> grid;   // mass and momentum of step n, likewise
    int ordering = 0;
  };

  MpmParams params_;
  RolloutInput<T> in_;  // pointers into `copies_`
  Backend backend_;
  std::vector<Buffer<T>> copies_;
  int components_, const_components_;
  std::vector<Ordering> orderings_;
  std::vector<Step> layers_;  // steps + 1
  Buffer<T> constants_, sorted_, scratch_grid_, scratch_[2];
  int constants_ordering_ = -1;
  std::size_t budget_;
  std::int64_t done_ = 0;     // steps that have run once: their orderings are known
  std::int64_t cached_ = -1;  // layer that `cached_state_` holds, or -1
  Buffer<T> cached_state_;
  std::mutex busy_;  // recomputing and reversing use the work space above: one caller at a time

  Step& at(std::int64_t n) { return layers_[static_cast<std::size_t>(n)]; }
  // First step of the order of step n.
  std::int64_t first_of_ordering(std::int64_t n) { return orderings_[static_cast<std::size_t>(at(n).ordering)].first; }
  const Layout& order(int ordering) const { return orderings_[static_cast<std::size_t>(ordering)].layout; }

  void check_input() const;
  void check_layer(std::int64_t layer) const;
  void make_layers();
  void keep_inputs();
  void first_layer();
  void run();
  std::size_t state_size(int ordering) const;
  std::size_t grid_size(int ordering) const;
  void load_constants(int ordering);
  Args args(int ordering);
  const T* control_at(std::int64_t step) const;
  template <class Layers, class Grids>
  BatchOutcome forward_batch(std::int64_t step, std::int64_t count, const Layers& layer, const Grids& grid);
  void choose_ordering(std::int64_t step, const T* next, bool unsorted);
  void renew_order(std::int64_t step, Buffer<T>& next);
  template <class Layers, class Grids>
  void advance(std::int64_t begin, std::int64_t end, const Layers& layer, const Grids& grid);
  Buffer<T> layer_state(std::int64_t layer);
  std::int64_t capacity() const;

  // Finding the particle that a step has spoilt, on the host.
  struct HostParticles;
  HostParticles to_host(std::int64_t step, const T* groups);
  [[noreturn]] void report(std::int64_t step, const T* state, const T* next);
  [[noreturn]] void report_degenerate(std::int64_t step);

  struct Reverse {
    const std::vector<StateAdjoint<T>>& adjoints;
    RolloutGradients<T>& out;
    int ordering;                  // whose order the groups below are in
    Buffer<T> adj, adj_constants;  // groups
    Buffer<T> next, spare;         // work space where the order changes
  };
  void reverse(std::int64_t begin, std::int64_t end, std::int64_t slots, Reverse& r);
  void reverse_stored(std::int64_t begin, std::int64_t end, Reverse& r);
  void reverse_batch(std::int64_t step, std::int64_t count, Reverse& r);
  void release(std::int64_t begin, std::int64_t end);
  const T* enter_ordering(std::int64_t step, Reverse& r);
  void add_cotangents(std::int64_t layer, Reverse& r);
  void finish(Reverse& r);
};

template <class T, class Backend>
Trajectory<T, Backend>::Trajectory(const MpmParams& params, const RolloutInput<T>& input, Backend&& backend)
    : params_(params), in_(input), backend_(std::move(backend)) {
  components_ = in_.motion_gradient ? kStateComponentsG : kStateComponents;
  const_components_ = in_.Fp ? kConstComponentsFp : kConstComponents;
  budget_ = in_.memory_budget > 0 ? in_.memory_budget : backend_.default_budget();
  check_input();
  make_layers();
  keep_inputs();
  first_layer();
  run();
}

template <class T, class Backend>
void Trajectory<T, Backend>::check_input() const {
  constexpr std::int64_t kMost = std::numeric_limits<Index>::max();
  if (in_.count < 0 || in_.count > kMost)
    throw std::invalid_argument("x: expected from 0 to 2147483647 particles, got " + std::to_string(in_.count));
  if (in_.steps < 0 || in_.steps > kMost)
    throw std::invalid_argument("steps: expected from 0 to 2147483647, got " + std::to_string(in_.steps));
  if (in_.control_stride < 1 || in_.control_layers < 0)
    throw std::invalid_argument("control_stride: expected a number above 0, got " + std::to_string(in_.control_stride));
}

template <class T, class Backend>
void Trajectory<T, Backend>::check_layer(std::int64_t layer) const {
  if (layer < 0 || layer > in_.steps)
    throw std::invalid_argument("layer: expected one from 0 to " + std::to_string(in_.steps) + ", got " +
                                std::to_string(layer));
}

// Records of the layers, without memory for their arrays.
template <class T, class Backend>
void Trajectory<T, Backend>::make_layers() {
  const auto count = static_cast<std::size_t>(in_.steps) + 1;
  require_memory(static_cast<double>(count * sizeof(Step)),
                 "steps: expected steps whose records fit into half of the free memory",
                 "run them in several rollouts");
  layers_.reserve(count);
  constexpr std::size_t kAtOnce = 1 << 16;
  while (layers_.size() < count) {
    layers_.resize(std::min(count, layers_.size() + kAtOnce));
    poll();
  }
}

// The constants and controls are read again by the adjoint and when layers are recomputed.
template <class T, class Backend>
void Trajectory<T, Backend>::keep_inputs() {
  const auto keep = [&](const T*& pointer, std::int64_t count) {
    if (!pointer || count == 0) return;
    Buffer<T> copy;
    backend_.reserve(copy, static_cast<std::size_t>(count));
    backend_.copy(copy.data(), pointer, count);
    pointer = copy.data();
    copies_.push_back(copy);
  };
  keep(in_.mass, in_.count), keep(in_.volume, in_.count), keep(in_.lam, in_.count), keep(in_.mu, in_.count);
  keep(in_.Fp, in_.count * 9);
  keep(in_.control, in_.control_layers * in_.count * 9);
}

template <class T, class Backend>
void Trajectory<T, Backend>::first_layer() {
  const std::int64_t outside = backend_.find_outside(in_.x, in_.count);
  if (outside >= 0) {
    const std::vector<T> x = backend_.to_host(in_.x + 3 * outside, 3);
    throw StepError(std::isfinite(x[0] + x[1] + x[2]) ? Cause::left_grid : Cause::not_finite, outside, 0);
  }
  orderings_.push_back({backend_.make_layout(in_.x, in_.count), 0});
  Buffer<T> state;
  backend_.reserve(state, state_size(0));
  const Layout& layout = order(0);
  backend_.to_groups(layout, in_.x, 3, state.data(), components_, kX, false);
  backend_.to_groups(layout, in_.v, 3, state.data(), components_, kV, false);
  backend_.to_groups(layout, in_.C, 9, state.data(), components_, kC, false);
  backend_.to_groups(layout, in_.F, 9, state.data(), components_, kF, false);
  if (in_.motion_gradient) backend_.set_identity(layout, state.data(), components_, kG);
  backend_.reset_padding(layout, state.data(), components_);
  layers_[0].state = state;
  in_.x = in_.v = in_.C = in_.F = nullptr;  // the caller's; not ours to keep
}

template <class T, class Backend>
std::size_t Trajectory<T, Backend>::state_size(int ordering) const {
  return static_cast<std::size_t>(order(ordering).group_count()) * static_cast<std::size_t>(components_ * kLanes);
}

template <class T, class Backend>
std::size_t Trajectory<T, Backend>::grid_size(int ordering) const {
  return static_cast<std::size_t>(order(ordering).grid_count()) * kGridBlockSize;
}

// Steps that can be kept whole, state and grid, within the budget.
template <class T, class Backend>
std::int64_t Trajectory<T, Backend>::capacity() const {
  const std::size_t bytes = sizeof(T) * (state_size(0) + grid_size(0));
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(budget_ / std::max<std::size_t>(bytes, 1)));
}

template <class T, class Backend>
void Trajectory<T, Backend>::load_constants(int ordering) {
  if (constants_ordering_ == ordering) return;
  constants_ordering_ = -1;  // in case that memory runs out
  const Layout& layout = order(ordering);
  backend_.reserve(constants_, static_cast<std::size_t>(layout.group_count() * const_components_ * kLanes));
  // Padding has neither mass nor volume; its moduli do not matter.
  backend_.to_groups(layout, in_.mass, 1, constants_.data(), const_components_, kMass, true);
  backend_.to_groups(layout, in_.volume, 1, constants_.data(), const_components_, kVolume, true);
  backend_.to_groups(layout, in_.lam, 1, constants_.data(), const_components_, kLam, false);
  backend_.to_groups(layout, in_.mu, 1, constants_.data(), const_components_, kMu, false);
  if (in_.Fp) {
    Buffer<T> inverses;
    backend_.reserve(inverses, static_cast<std::size_t>(in_.count) * 9);
    backend_.invert(in_.Fp, in_.count, inverses.data());
    backend_.to_groups(layout, inverses.data(), 9, constants_.data(), const_components_, kFpInv, false);
  }
  constants_ordering_ = ordering;
}

template <class T, class Backend>
const T* Trajectory<T, Backend>::control_at(std::int64_t step) const {
  if (!in_.control || step % in_.control_stride != 0) return nullptr;
  const std::int64_t layer = step / in_.control_stride;
  return layer < in_.control_layers ? in_.control + layer * in_.count * 9 : nullptr;
}

// What all steps of an ordering share.
template <class T, class Backend>
typename Backend::Args Trajectory<T, Backend>::args(int ordering) {
  load_constants(ordering);
  Args a = backend_.args(order(ordering));
  a.state_components = components_;
  a.rest_state = in_.Fp != nullptr;
  a.constants = constants_.data();
  return a;
}

// The order of layer `step` + 1, the first time that it is reached.
template <class T, class Backend>
void Trajectory<T, Backend>::choose_ordering(std::int64_t step, const T* next, bool unsorted) {
  const int ordering = at(step).ordering;
  at(step + 1).ordering = ordering;
  done_ = step + 1;
  if (!unsorted || done_ == in_.steps) return;
  Buffer<T> x;
  backend_.reserve(x, static_cast<std::size_t>(in_.count) * 3);
  backend_.from_groups(order(ordering), next, components_, kX, 3, x.data());
  orderings_.push_back({backend_.make_layout(x.data(), in_.count), done_});
  at(step + 1).ordering = static_cast<int>(orderings_.size()) - 1;
}

// Bring what `step` wrote into the order of the following one.
template <class T, class Backend>
void Trajectory<T, Backend>::renew_order(std::int64_t step, Buffer<T>& next) {
  const int target = at(step + 1).ordering;
  if (target == at(step).ordering) return;
  backend_.leave_order(order(at(step).ordering));
  backend_.reserve(sorted_, state_size(target));
  backend_.reorder(order(target), next.data(), sorted_.data(), components_, false);
  backend_.reset_padding(order(target), sorted_.data(), components_);
  std::swap(next, sorted_);
}

// Run up to `count` steps in the order of the first one: they end where another order is needed.
template <class T, class Backend>
template <class Layers, class Grids>
BatchOutcome Trajectory<T, Backend>::forward_batch(std::int64_t step, std::int64_t count, const Layers& layer,
                                                   const Grids& grid) {
  const int ordering = at(step).ordering;
  for (std::int64_t n = step; n < step + count; ++n) {
    backend_.reserve(layer(n + 1), state_size(ordering));
    backend_.reserve(grid(n), grid_size(ordering));
  }
  const Args shared = args(ordering);
  return backend_.forward(count, [&](std::int64_t k) {
    Args a = shared;
    a.control = control_at(step + k);
    a.state = layer(step + k).data(), a.next = layer(step + k + 1).data(), a.grid_mq = grid(step + k).data();
    return a;
  });
}

// Run steps [begin, end). layer(n) is the buffer of layer n, which becomes that in its own order; grid(n) that of step n's mass
// and momentum. Both may be used again: layer(n + 2) for layer(n), one grid for all.
template <class T, class Backend>
template <class Layers, class Grids>
void Trajectory<T, Backend>::advance(std::int64_t begin, std::int64_t end, const Layers& layer, const Grids& grid) {
  for (std::int64_t n = begin; n < end;) {
    poll();
    const std::int64_t most = backend_.batch_steps(n - first_of_ordering(n));
    const BatchOutcome batch = forward_batch(n, std::min(end - n, most), layer, grid);
    const std::int64_t last = n + batch.steps - 1;
    for (; n < last; ++n)
      if (n >= done_) choose_ordering(n, nullptr, false);
    if (batch.flags & kFlagBad) report(last, layer(last).data(), nullptr);
    if (batch.flags & kFlagInvalidState) report(last, layer(last).data(), layer(last + 1).data());
    if (last >= done_) choose_ordering(last, layer(last + 1).data(), (batch.flags & kFlagUnsorted) != 0);
    renew_order(last, layer(last + 1));
    n = last + 1;
  }
}

template <class T, class Backend>
void Trajectory<T, Backend>::run() {
  const std::int64_t fit = capacity();
  const bool keep_all = in_.differentiable && in_.steps <= fit;
  // Otherwise keep every stride-th layer, in half of the budget; the adjoint refills what lies between.
  const std::int64_t kept = std::max<std::int64_t>(1, fit / 2);
  const std::int64_t stride = keep_all ? 1 : (in_.steps + kept - 1) / kept;
  const auto keeps = [&](std::int64_t n) {
    return n == 0 || n == in_.steps || (in_.differentiable && n % stride == 0);
  };
  SparsePoll sparse_poll;
  for (std::int64_t n = 1; n <= in_.steps; ++n) {
    sparse_poll();
    if (keeps(n)) backend_.reserve(at(n).state, state_size(0));
    if (keep_all) backend_.reserve(at(n - 1).grid, grid_size(0));
  }
  // Every second layer before one that is kept passes through its buffer.
  const auto layer = [&](std::int64_t n) -> Buffer<T>& {
    const std::int64_t next = in_.differentiable ? std::min((n + stride - 1) / stride * stride, in_.steps) : in_.steps;
    return n == 0 ? at(0).state : (next - n) % 2 == 0 ? at(next).state : scratch_[0];
  };
  advance(0, in_.steps, layer, [&](std::int64_t n) -> Buffer<T>& { return keep_all ? at(n).grid : scratch_grid_; });
  if (in_.differentiable) return;
  for (Buffer<T>* buffer : {&scratch_[0], &sorted_, &scratch_grid_}) buffer->reset();
}

// State of a layer, recomputed from the nearest one before it that is kept.
template <class T, class Backend>
Buffer<T> Trajectory<T, Backend>::layer_state(std::int64_t layer) {
  std::int64_t begin = layer;
  while (!at(begin).state && begin != cached_) --begin;
  Buffer<T> first = begin == cached_ ? cached_state_ : at(begin).state, later[2];
  if (begin == layer) return first;
  advance(
      begin, layer, [&](std::int64_t n) -> Buffer<T>& { return n == begin ? first : later[n % 2]; },
      [&](std::int64_t) -> Buffer<T>& { return scratch_grid_; });
  cached_ = layer, cached_state_ = later[layer % 2];
  return cached_state_;
}

template <class T, class Backend>
std::int64_t Trajectory<T, Backend>::stored_layers() const {
  return std::count_if(layers_.begin(), layers_.end(), [](const Step& l) { return bool(l.state); });
}

template <class T, class Backend>
void Trajectory<T, Backend>::state(std::int64_t layer, T* x, T* v, T* C, T* F, T* G) {
  check_layer(layer);
  const std::lock_guard lock(busy_);
  const Buffer<T> state = layer_state(layer);
  const auto copy = [&](T* out, int component, int width) {
    if (out) backend_.from_groups(order(at(layer).ordering), state.data(), components_, component, width, out);
  };
  copy(x, kX, 3), copy(v, kV, 3), copy(C, kC, 9), copy(F, kF, 9);
  if (in_.motion_gradient) copy(G, kG, 9);
}

}  // namespace diffmpm
