// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
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

// The rollout of any backend: which states are stored, when particles are sorted again, and the backward pass. Layer n is the
// state before step n; layer `steps` is the end. An ordering is a run of steps with one order of the particles; layer n is stored
// in the order of step n.

namespace diffmpm {

// The work space of a step, and the memory it lives in: CpuBackend, cuda::DeviceBackend. `Args` derives from StepFields.
template <class B, class T = typename B::Scalar>
concept StepBackend = requires(B b, const typename B::Layout& layout, Buffer<T>& buffer, T* out, const T* in,
                               std::int64_t count, int width, int stride, int first, bool zero_padding,
                               typename B::Args (*step)(std::int64_t), double (&gravity)[3], double& drag) {
  { layout.group_count() } -> std::same_as<std::int64_t>;
  { layout.grid_count() } -> std::same_as<std::int64_t>;
  { b.find_outside(in, count) } -> std::same_as<std::int64_t>;  // first particle outside of the grid, or -1
  { b.make_layout(in, count) } -> std::same_as<typename B::Layout>;
  { b.args(layout) } -> std::same_as<typename B::Args>;

  // Steps to run together once an ordering has lasted for `count` steps.
  { b.batch_steps(count) } -> std::same_as<std::int64_t>;
  // Run `count` steps. step(k) returns the arguments of step k of the batch and may issue work of its own before it. The batch ends
  // after the first step that raises a flag. The adjoint adds to the derivatives with respect to gravity and drag.
  { b.forward(count, step) } -> std::same_as<BatchOutcome>;
  { b.adjoint(count, step, gravity, drag) } -> std::same_as<BatchOutcome>;

  { b.default_budget() } -> std::same_as<std::size_t>;  // bytes
  b.reserve(buffer, std::size_t{});
  b.clear(out, count);
  b.copy(out, in, count);
  { b.to_host(in, count) } -> std::same_as<std::vector<T>>;

  // Between arrays in the caller's order and groups of particles; then between two orders.
  b.to_groups(layout, in, width, out, stride, first, zero_padding);
  b.add_to_groups(layout, in, width, out, stride, first);
  b.from_groups(layout, in, stride, first, width, out);
  b.set_identity(layout, out, stride, first);
  b.reset_padding(layout, out, stride);
  b.leave_order(layout);  // of the groups that the next calls of reorder read
  b.reorder(layout, in, out, stride, zero_padding);

  b.invert(in, count, out);  // matrices (count, 3, 3)
  b.invert_vjp(in, count, out);
};

template <class Backend>
class Trajectory : public Rollout<typename Backend::Scalar> {
 public:
  using T = typename Backend::Scalar;

  Trajectory(const MpmParams& params, const RolloutInput<T>& input, Backend&& backend)
      : params_(params), in_(input), backend_(std::move(backend)) {
    components_ = in_.motion_gradient ? kStateComponentsG : kStateComponents;
    property_components_ = in_.Fp ? kPropertyComponentsFp : kPropertyComponents;
    budget_ = in_.memory_budget > 0 ? in_.memory_budget : backend_.default_budget();
    check_input();
    make_layers();
    copy_inputs();
    make_first_layer();
    run();
  }
  Trajectory(const Trajectory&) = delete;
  Trajectory& operator=(const Trajectory&) = delete;

  const RolloutInput<T>& input() const override { return in_; }

  std::int64_t stored_layers() const override {
    return std::count_if(layers_.begin(), layers_.end(), [](const Layer& l) { return bool(l.state); });
  }

  void state(std::int64_t layer, T* x, T* v, T* C, T* F, T* G) override {
    check_layer(layer);
    const std::lock_guard lock(busy_);
    const Buffer<T> state = layer_state(layer);
    const auto copy = [&](T* out, int component, int width) {
      if (out) backend_.from_groups(order(at(layer).ordering), state.data(), components_, component, width, out);
    };
    copy(x, kX, 3), copy(v, kV, 3), copy(C, kC, 9), copy(F, kF, 9);
    if (in_.motion_gradient) copy(G, kG, 9);
  }

  void vjp(const std::vector<StateAdjoint<T>>& adjoints, RolloutGradients<T>& out) override;

 private:
  static_assert(StepBackend<Backend>);
  using Layout = typename Backend::Layout;
  using Args = typename Backend::Args;

  struct Ordering {
    Layout layout;
    std::int64_t first;  // step
  };

  struct Layer {
    Buffer<T> state;  // empty where it is not stored
    Buffer<T> grid;   // mass and momentum of step n, likewise
    int ordering = 0;
  };

  MpmParams params_;
  RolloutInput<T> in_;  // pointers into `copies_`
  Backend backend_;
  std::vector<Buffer<T>> copies_;
  int components_, property_components_;
  std::vector<Ordering> orderings_;
  std::vector<Layer> layers_;  // steps + 1
  Buffer<T> properties_, sorted_, scratch_grid_, scratch_[2];
  int properties_ordering_ = -1;
  std::size_t budget_;
  std::int64_t done_ = 0;     // steps that have run once: their orderings are known
  std::int64_t cached_ = -1;  // layer that `cached_state_` holds, or -1
  Buffer<T> cached_state_;
  std::mutex busy_;  // one caller at a time: recomputation and the backward pass use the work space above

  Layer& at(std::int64_t n) { return layers_[n]; }
  std::int64_t first_of_ordering(std::int64_t n) { return orderings_[at(n).ordering].first; }
  const Layout& order(int ordering) const { return orderings_[ordering].layout; }

  void check_input() const {
    constexpr std::int64_t kMost = std::numeric_limits<Index>::max();
    if (in_.count < 0 || in_.count > kMost)
      throw std::invalid_argument("x: expected from 0 to 2147483647 particles, got " + std::to_string(in_.count));
    if (in_.steps < 0 || in_.steps > kMost)
      throw std::invalid_argument("steps: expected from 0 to 2147483647, got " + std::to_string(in_.steps));
    if (in_.control_stride < 1 || in_.control_steps < 0)
      throw std::invalid_argument("control_stride: expected a number above 0, got " +
                                  std::to_string(in_.control_stride));
  }

  void check_layer(std::int64_t layer) const {
    if (layer < 0 || layer > in_.steps)
      throw std::invalid_argument("layer: expected one from 0 to " + std::to_string(in_.steps) + ", got " +
                                  std::to_string(layer));
  }

  // Records of the layers, without memory for their arrays.
  void make_layers() {
    const auto count = static_cast<std::size_t>(in_.steps) + 1;
    require_memory(static_cast<double>(count * sizeof(Layer)),
                   "steps: expected steps whose records fit into half of the free memory",
                   "run them in several rollouts");
    layers_.reserve(count);
    constexpr std::size_t kAtOnce = 1 << 16;
    while (layers_.size() < count) {
      layers_.resize(std::min(count, layers_.size() + kAtOnce));
      poll();
    }
  }

  // The adjoint and the recomputation read particle properties and controls again.
  void copy_inputs() {
    const auto copy = [&](const T*& pointer, std::int64_t count) {
      if (!pointer || count == 0) return;
      Buffer<T> values;
      backend_.reserve(values, count);
      backend_.copy(values.data(), pointer, count);
      pointer = values.data();
      copies_.push_back(values);
    };
    copy(in_.mass, in_.count), copy(in_.volume, in_.count), copy(in_.lam, in_.count), copy(in_.mu, in_.count);
    copy(in_.Fp, in_.count * 9);
    copy(in_.control, in_.control_steps * in_.count * 9);
  }

  void make_first_layer() {
    const std::int64_t outside = backend_.find_outside(in_.x, in_.count);
    if (outside >= 0) {
      const std::vector<T> x = backend_.to_host(in_.x + 3 * outside, 3);
      throw StepError(std::isfinite(x[0] + x[1] + x[2]) ? Cause::left_grid : Cause::not_finite, outside, 0);
    }
    orderings_.push_back({backend_.make_layout(in_.x, in_.count), 0});
    Buffer<T> state;
    backend_.reserve(state, state_size(0));
    const Layout& layout = order(0);
    const auto load = [&](const T* values, int component, int width) {
      backend_.to_groups(layout, values, width, state.data(), components_, component, false);
    };
    load(in_.x, kX, 3), load(in_.v, kV, 3), load(in_.C, kC, 9), load(in_.F, kF, 9);
    if (in_.motion_gradient) backend_.set_identity(layout, state.data(), components_, kG);
    backend_.reset_padding(layout, state.data(), components_);
    layers_[0].state = state;
    in_.x = in_.v = in_.C = in_.F = nullptr;  // memory of the caller, not read again
  }

  std::size_t state_size(int ordering) const {
    return static_cast<std::size_t>(order(ordering).group_count()) * static_cast<std::size_t>(components_ * kLanes);
  }
  std::size_t grid_size(int ordering) const {
    return static_cast<std::size_t>(order(ordering).grid_count()) * kGridBlockSize;
  }

  // Steps whose state and grid fit the budget.
  std::int64_t capacity() const {
    const std::size_t bytes = sizeof(T) * (state_size(0) + grid_size(0));
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(budget_ / std::max<std::size_t>(bytes, 1)));
  }

  void load_properties(int ordering) {
    if (properties_ordering_ == ordering) return;
    properties_ordering_ = -1;  // in case memory runs out
    const Layout& layout = order(ordering);
    backend_.reserve(properties_, layout.group_count() * property_components_ * kLanes);
    const auto load = [&](const T* values, int component, int width, bool zero_padding) {
      backend_.to_groups(layout, values, width, properties_.data(), property_components_, component, zero_padding);
    };
    // Padding has neither mass nor volume; its moduli do not matter.
    load(in_.mass, kMass, 1, true), load(in_.volume, kVolume, 1, true);
    load(in_.lam, kLam, 1, false), load(in_.mu, kMu, 1, false);
    if (in_.Fp) {
      Buffer<T> inverses;
      backend_.reserve(inverses, in_.count * 9);
      backend_.invert(in_.Fp, in_.count, inverses.data());
      load(inverses.data(), kFpInv, 9, false);
    }
    properties_ordering_ = ordering;
  }

  const T* control_at(std::int64_t step) const {
    if (!in_.control || step % in_.control_stride != 0) return nullptr;
    const std::int64_t layer = step / in_.control_stride;
    return layer < in_.control_steps ? in_.control + layer * in_.count * 9 : nullptr;
  }

  // The arguments that all steps of an ordering share.
  Args args(int ordering) {
    load_properties(ordering);
    Args a = backend_.args(order(ordering));
    a.state_components = components_;
    a.rest_state = in_.Fp != nullptr;
    a.properties = properties_.data();
    return a;
  }

  // The ordering of layer `step` + 1, when its step has run for the first time.
  void choose_ordering(std::int64_t step, const T* next, bool unsorted) {
    const int ordering = at(step).ordering;
    at(step + 1).ordering = ordering;
    done_ = step + 1;
    if (!unsorted || done_ == in_.steps) return;
    Buffer<T> x;
    backend_.reserve(x, in_.count * 3);
    backend_.from_groups(order(ordering), next, components_, kX, 3, x.data());
    orderings_.push_back({backend_.make_layout(x.data(), in_.count), done_});
    at(step + 1).ordering = static_cast<int>(orderings_.size()) - 1;
  }

  // Reorders the result of `step` for the following step.
  void renew_order(std::int64_t step, Buffer<T>& next) {
    const int target = at(step + 1).ordering;
    if (target == at(step).ordering) return;
    backend_.leave_order(order(at(step).ordering));
    backend_.reserve(sorted_, state_size(target));
    backend_.reorder(order(target), next.data(), sorted_.data(), components_, false);
    backend_.reset_padding(order(target), sorted_.data(), components_);
    std::swap(next, sorted_);
  }

  // Runs up to `count` steps in the order of the first one; the batch ends where another order is needed.
  template <class Layers, class Grids>
  BatchOutcome forward_batch(std::int64_t step, std::int64_t count, const Layers& layer, const Grids& grid) {
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

  // Runs steps [begin, end). layer(n) is the buffer for layer n in its own order, grid(n) that for mass and momentum of step n.
  // Buffers may repeat: layer(n + 2) for layer(n), one grid for all.
  template <class Layers, class Grids>
  void advance(std::int64_t begin, std::int64_t end, const Layers& layer, const Grids& grid) {
    for (std::int64_t n = begin; n < end;) {
      poll();
      const std::int64_t most = backend_.batch_steps(n - first_of_ordering(n));
      const BatchOutcome batch = forward_batch(n, std::min(end - n, most), layer, grid);
      const std::int64_t last = n + batch.steps - 1;
      for (; n < last; ++n)
        if (n >= done_) choose_ordering(n, nullptr, false);
      if (batch.flags & kFlagInvalidMomentum) report(last, layer(last).data(), nullptr);
      if (batch.flags & kFlagInvalidState) report(last, layer(last).data(), layer(last + 1).data());
      if (last >= done_) choose_ordering(last, layer(last + 1).data(), (batch.flags & kFlagUnsorted) != 0);
      renew_order(last, layer(last + 1));
      n = last + 1;
    }
  }

  void run() {
    const std::int64_t fit = capacity();
    const bool store_all = in_.differentiable && in_.steps <= fit;
    // Otherwise every stride-th layer, in half of the budget; the adjoint recomputes those between.
    const std::int64_t stored = std::max<std::int64_t>(1, fit / 2);
    const std::int64_t stride = store_all ? 1 : (in_.steps + stored - 1) / stored;
    // Every second layer before a stored one uses its buffer.
    const auto layer = [&](std::int64_t n) -> Buffer<T>& {
      const std::int64_t next =
          in_.differentiable ? std::min((n + stride - 1) / stride * stride, in_.steps) : in_.steps;
      return n == 0 ? at(0).state : (next - n) % 2 == 0 ? at(next).state : scratch_[0];
    };
    advance(0, in_.steps, layer, [&](std::int64_t n) -> Buffer<T>& { return store_all ? at(n).grid : scratch_grid_; });
    if (in_.differentiable) return;
    for (Buffer<T>* buffer : {&scratch_[0], &sorted_, &scratch_grid_}) buffer->reset();
  }

  // State of a layer, recomputed from the nearest stored one before it.
  Buffer<T> layer_state(std::int64_t layer) {
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

  // trajectory_errors.hpp
  struct HostParticles;
  HostParticles to_host(std::int64_t step, const T* groups);
  [[noreturn]] void report(std::int64_t step, const T* state, const T* next);
  [[noreturn]] void report_degenerate(std::int64_t step);

  // trajectory_vjp.hpp
  struct Reverse {
    const std::vector<StateAdjoint<T>>& adjoints;
    RolloutGradients<T>& out;
    int ordering;                   // of the groups below
    Buffer<T> adj, adj_properties;  // groups; the latter empty if no property is differentiated by
    Buffer<T> next, spare;          // work space for a change of the order
  };
  void reverse(std::int64_t begin, std::int64_t end, std::int64_t slots, Reverse& r);
  void reverse_stored(std::int64_t begin, std::int64_t end, Reverse& r);
  void reverse_batch(std::int64_t step, std::int64_t count, Reverse& r);
  void release(std::int64_t begin, std::int64_t end);
  const T* enter_ordering(std::int64_t step, Reverse& r);
  void add_cotangents(std::int64_t layer, Reverse& r);
  void finish(Reverse& r);
};

}  // namespace diffmpm

#include "diffmpm/mpm/trajectory_errors.hpp"
#include "diffmpm/mpm/trajectory_vjp.hpp"
