// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <string>

#include "diffmpm/math/mat3.hpp"
#include "diffmpm/mpm/p2g.hpp"
#include "rollout_impl.hpp"

namespace diffmpm {
namespace {

const char* describe(Cause cause) {
  switch (cause) {
    case Cause::left_grid: return "left the grid";
    case Cause::not_finite: return "is not finite";
    case Cause::inverted: return "is inverted (det F <= 0)";
    case Cause::degenerate: return "has no unique rotation (two singular values of F near zero)";
  }
  return "";
}

template <class T>
bool all_finite(const T* values, int stride) {
  T sum(0);
  for (int k = 0; k < stride; ++k) sum += values[k * kLanes] * T(0);
  return sum == T(0);
}

template <class T>
Mat3<T> lane_matrix(const T* lane, int component) {
  Mat3<T> m;
  for (int k = 0; k < 9; ++k) m.m[k] = lane[(component + k) * kLanes];
  return m;
}

}  // namespace

StepError::StepError(Cause why, std::int64_t which, std::int64_t when)
    : std::runtime_error("particle " + std::to_string(which) + " " + describe(why) + " in step " +
                         std::to_string(when)),
      cause(why),
      particle(which),
      step(when) {}

template <class T>
Rollout<T>::Impl::Impl(const MpmParams& p, const RolloutInput<T>& input) : params(p), in(input), table(kernels<T>()) {
  components = in.motion_gradient ? kStateComponentsG : kStateComponents;
  const_components = in.Fp ? kConstComponentsFp : kConstComponents;
  budget = in.memory_budget > 0 ? in.memory_budget : default_memory_budget();
  lane_of.resize(static_cast<std::size_t>(in.count));
  layers.resize(static_cast<std::size_t>(in.steps) + 1);
  keep_inputs();
  first_layer();
  run();
}

// The constants and controls are read again by the adjoint and when layers are recomputed.
template <class T>
void Rollout<T>::Impl::keep_inputs() {
  const auto keep = [&](const T*& pointer, std::int64_t count) {
    if (!pointer || count == 0) return;
    Buffer<T> copy(static_cast<std::size_t>(count));
    std::copy(pointer, pointer + count, copy.data());
    pointer = copy.data();
    copies.push_back(copy);
  };
  keep(in.mass, in.count), keep(in.volume, in.count), keep(in.lam, in.count), keep(in.mu, in.count);
  keep(in.Fp, in.count * 9);
  keep(in.control, in.control_layers * in.count * 9);
}

template <class T>
void Rollout<T>::Impl::first_layer() {
  const std::int64_t outside = find_outside(params, in.x, in.count);
  if (outside >= 0) {
    const bool finite = std::isfinite(in.x[3 * outside] + in.x[3 * outside + 1] + in.x[3 * outside + 2]);
    throw StepError(finite ? Cause::left_grid : Cause::not_finite, outside, 0);
  }
  epochs.push_back(make_layout(params, in.x, in.count));
  Buffer<T> state(state_size(0));
  const Layout& layout = epochs[0];
  to_groups(layout, in.x, 3, state.data(), components, kX, false);
  to_groups(layout, in.v, 3, state.data(), components, kV, false);
  to_groups(layout, in.C, 9, state.data(), components, kC, false);
  to_groups(layout, in.F, 9, state.data(), components, kF, false);
  if (in.motion_gradient) {
    std::vector<T> identity(static_cast<std::size_t>(in.count) * 9, T(0));
    for (std::size_t n = 0; n < identity.size(); n += 9) identity[n] = identity[n + 4] = identity[n + 8] = T(1);
    to_groups(layout, identity.data(), 9, state.data(), components, kG, false);
  }
  reset_padding(layout, state.data(), components);
  layers[0].state = state;
  in.x = in.v = in.C = in.F = nullptr;  // the caller's; not ours to keep
}

template <class T>
std::size_t Rollout<T>::Impl::state_size(int epoch) const {
  return static_cast<std::size_t>(epochs[static_cast<std::size_t>(epoch)].group_count()) *
         static_cast<std::size_t>(components * kLanes);
}

template <class T>
std::size_t Rollout<T>::Impl::grid_size(int epoch) const {
  return epochs[static_cast<std::size_t>(epoch)].grid.size() * kBlockNodes * 4;
}

// Steps that can be kept whole, state and grid, within the budget.
template <class T>
std::int64_t Rollout<T>::Impl::capacity() const {
  const std::size_t bytes = sizeof(T) * (state_size(0) + grid_size(0));
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(budget / std::max<std::size_t>(bytes, 1)));
}

// Work space and constants for an epoch.
template <class T>
void Rollout<T>::Impl::prepare(int epoch) {
  const Layout& layout = epochs[static_cast<std::size_t>(epoch)];
  tiles.reserve(layout.blocks.size() * static_cast<std::size_t>(table.tile_size(params.basis)));
  grid_v.reserve(grid_size(epoch));
  flags.reserve(layout.blocks.size());
  if (constants_epoch == epoch) return;
  constants.reserve(static_cast<std::size_t>(layout.group_count() * const_components * kLanes));
  // Padding has neither mass nor volume; its moduli do not matter.
  to_groups(layout, in.mass, 1, constants.data(), const_components, kMass, true);
  to_groups(layout, in.volume, 1, constants.data(), const_components, kVolume, true);
  to_groups(layout, in.lam, 1, constants.data(), const_components, kLam, false);
  to_groups(layout, in.mu, 1, constants.data(), const_components, kMu, false);
  if (in.Fp) {
    std::vector<T> inverse(static_cast<std::size_t>(in.count) * 9);
    for (std::int64_t p = 0; p < in.count; ++p) {
      Mat3<T> m;
      for (int k = 0; k < 9; ++k) m.m[k] = in.Fp[9 * p + k];
      const Mat3<T> cof = cofactor(m);
      const T inv_det = T(1) / determinant(m, cof);
      for (int r = 0; r < 3; ++r)
        for (int s = 0; s < 3; ++s) inverse[static_cast<std::size_t>(9 * p + 3 * r + s)] = inv_det * cof(s, r);
    }
    to_groups(layout, inverse.data(), 9, constants.data(), const_components, kFpInv, false);
  }
  constants_epoch = epoch;
}

template <class T>
const T* Rollout<T>::Impl::control_at(std::int64_t step) const {
  if (!in.control || step % in.control_stride != 0) return nullptr;
  const std::int64_t layer = step / in.control_stride;
  return layer < in.control_layers ? in.control + layer * in.count * 9 : nullptr;
}

template <class T>
StepArgs<T> Rollout<T>::Impl::args(std::int64_t step) {
  const int epoch = layers[static_cast<std::size_t>(step)].epoch;
  prepare(epoch);
  StepArgs<T> a;
  a.params = &params;
  a.layout = &epochs[static_cast<std::size_t>(epoch)];
  a.state_components = components;
  a.rest_state = in.Fp != nullptr;
  a.constants = constants.data();
  a.control = control_at(step);
  a.tiles = tiles.data();
  a.grid_v = grid_v.data();
  a.flags = flags.data();
  // A thread needs a few blocks to be worth waking; the results do not depend on the number.
  const auto blocks = static_cast<int>(std::min<std::size_t>(a.layout->blocks.size(), 1 << 20));
  a.threads = std::clamp(blocks / 2, 1, thread_count());
  return a;
}

// One step from `state` to `next`; returns whether the order has to be renewed before the following one.
template <class T>
bool Rollout<T>::Impl::forward_step(std::int64_t step, const T* state, T* next, T* grid) {
  StepArgs<T> a = args(step);
  a.state = state, a.next = next, a.grid_mq = grid;
  const std::size_t blocks = a.layout->blocks.size();
  const auto raised = [&](std::uint8_t flag) {
    return std::any_of(a.flags, a.flags + blocks, [&](std::uint8_t f) { return (f & flag) != 0; });
  };
  table.particles_to_tiles(a);
  if (raised(kFlagBad)) report(step, state, nullptr);
  table.tiles_to_grid(a);
  table.grid_to_particles(a);
  if (raised(kFlagBad)) report(step, state, next);
  return raised(kFlagUnsorted);
}

// Whether what a particle gives to the grid is finite; `lane` is its state, F its controlled deformation gradient.
template <class T>
bool Rollout<T>::Impl::momentum_finite(std::int64_t particle, const T* lane, const Mat3<T>& F) const {
  Particle<T> p;
  p.mass = in.mass[particle], p.volume = in.volume[particle], p.lam = in.lam[particle], p.mu = in.mu[particle];
  for (int r = 0; r < 3; ++r) p.v[r] = lane[(kV + r) * kLanes];
  p.C = lane_matrix(lane, kC);
  p.F = F;
  if (in.Fp) {
    Mat3<T> Fp;
    for (int k = 0; k < 9; ++k) Fp.m[k] = in.Fp[9 * particle + k];
    const Mat3<T> cof = cofactor(Fp);
    p.F = (T(1) / determinant(Fp, cof)) * mul_nt(F, cof);
  }
  StressSaved<T> saved;
  const Momentum<T> q = particle_momentum<false>(step_constants<T>(params), p, saved);
  const T sum = dot(q.b, q.b) + contract(q.A, q.A);
  return sum * T(0) == T(0);
}

// Find the first particle, in the caller's order, that a step has spoilt.
template <class T>
void Rollout<T>::Impl::report(std::int64_t step, const T* state, const T* next) {
  const Layout& layout = epochs[static_cast<std::size_t>(layers[static_cast<std::size_t>(step)].epoch)];
  const T* control = control_at(step);
  invert_ids(layout, lane_of);
  for (std::int64_t p = 0; p < in.count; ++p) {
    const std::int64_t lane = lane_of[static_cast<std::size_t>(p)];
    const std::int64_t at = lane / kLanes * components * kLanes + lane % kLanes;
    Mat3<T> F = lane_matrix((next ? next : state) + at, kF);
    if (!next && control)
      for (int k = 0; k < 9; ++k) F.m[k] += control[9 * p + k];
    const T* values = (next ? next : state) + at;
    if (!all_finite(values, components) || !(contract(F, F) * T(0) == T(0)))
      throw StepError(Cause::not_finite, p, step);
    if (!(determinant(F) > T(0))) throw StepError(Cause::inverted, p, step);
    if (!next && !momentum_finite(p, values, F)) throw StepError(Cause::not_finite, p, step);
    const T x[3] = {values[0], values[kLanes], values[2 * kLanes]};
    if (next && find_outside(params, x, 1) >= 0) throw StepError(Cause::left_grid, p, step);
  }
  // A value at the very limit, which rounds to the good side here: the grid's edge is the only limit of that kind.
  throw StepError(next ? Cause::left_grid : Cause::inverted, 0, step);
}

// The order of layer `step` + 1, the first time that it is reached.
template <class T>
void Rollout<T>::Impl::choose_epoch(std::int64_t step, const T* next, bool unsorted) {
  const int epoch = layers[static_cast<std::size_t>(step)].epoch;
  layers[static_cast<std::size_t>(step) + 1].epoch = epoch;
  done = step + 1;
  if (!unsorted || done == in.steps) return;
  std::vector<T> x(static_cast<std::size_t>(in.count) * 3);
  from_groups(epochs[static_cast<std::size_t>(epoch)], next, components, kX, 3, x.data());
  epochs.push_back(make_layout(params, x.data(), in.count));
  layers[static_cast<std::size_t>(step) + 1].epoch = static_cast<int>(epochs.size()) - 1;
}

// Run a step from its layer; `next` becomes the following layer in its own order, `grid` the step's mass and momentum.
template <class T>
void Rollout<T>::Impl::advance(std::int64_t step, const Buffer<T>& state, Buffer<T>& next, Buffer<T>& grid) {
  if (in.poll) in.poll();
  const int epoch = layers[static_cast<std::size_t>(step)].epoch;
  next.reserve(state_size(epoch));
  grid.reserve(grid_size(epoch));
  const bool unsorted = forward_step(step, state.data(), next.data(), grid.data());
  if (step >= done) choose_epoch(step, next.data(), unsorted);
  const int target = layers[static_cast<std::size_t>(step) + 1].epoch;
  if (target == epoch) return;
  invert_ids(epochs[static_cast<std::size_t>(epoch)], lane_of);
  sorted.reserve(state_size(target));
  const Layout& layout = epochs[static_cast<std::size_t>(target)];
  reorder_groups(layout, lane_of, next.data(), sorted.data(), components, false);
  reset_padding(layout, sorted.data(), components);
  std::swap(next, sorted);
}

template <class T>
void Rollout<T>::Impl::run() {
  const std::int64_t fit = capacity();
  const bool keep_all = in.differentiable && in.steps <= fit;
  // Otherwise keep every stride-th layer, in half of the budget; the adjoint refills what lies between.
  const std::int64_t kept = std::max<std::int64_t>(1, fit / 2);
  const std::int64_t stride = keep_all ? 1 : (in.steps + kept - 1) / kept;
  const auto keeps = [&](std::int64_t n) { return n == in.steps || (in.differentiable && n % stride == 0); };
  for (std::int64_t n = 1; n <= in.steps; ++n) {
    if (keeps(n)) layers[static_cast<std::size_t>(n)].state.reserve(state_size(0));
    if (keep_all) layers[static_cast<std::size_t>(n) - 1].grid.reserve(grid_size(0));
  }
  const Buffer<T>* state = &layers[0].state;
  for (std::int64_t n = 0; n < in.steps; ++n) {
    Step& layer = layers[static_cast<std::size_t>(n)];
    Buffer<T>& next = keeps(n + 1) ? layers[static_cast<std::size_t>(n) + 1].state : scratch[n % 2];
    advance(n, *state, next, keep_all ? layer.grid : scratch_grid);
    state = &next;
  }
}

// State of a layer, recomputed from the nearest one before it that is kept.
template <class T>
Buffer<T> Rollout<T>::Impl::layer_state(std::int64_t layer) {
  std::int64_t n = layer;
  while (!layers[static_cast<std::size_t>(n)].state && n != cached) --n;
  if (n == layer && n != cached) return layers[static_cast<std::size_t>(n)].state;
  Buffer<T> state = n == cached ? cached_state : layers[static_cast<std::size_t>(n)].state;
  for (; n < layer; ++n) {
    Buffer<T> next;
    advance(n, state, next, scratch_grid);
    state = next;
  }
  cached = layer, cached_state = state;
  return state;
}

template <class T>
Rollout<T>::Rollout(const MpmParams& params, const RolloutInput<T>& input)
    : impl_(std::make_unique<Impl>(params, input)) {}
template <class T>
Rollout<T>::~Rollout() = default;

template <class T>
std::int64_t Rollout<T>::count() const {
  return impl_->in.count;
}
template <class T>
std::int64_t Rollout<T>::steps() const {
  return impl_->in.steps;
}
template <class T>
bool Rollout<T>::motion_gradient() const {
  return impl_->in.motion_gradient;
}
template <class T>
bool Rollout<T>::differentiable() const {
  return impl_->in.differentiable;
}
template <class T>
std::int64_t Rollout<T>::control_layers() const {
  return impl_->in.control ? impl_->in.control_layers : 0;
}
template <class T>
std::int64_t Rollout<T>::stored_layers() const {
  return std::count_if(impl_->layers.begin(), impl_->layers.end(), [](const auto& l) { return bool(l.state); });
}

template <class T>
void Rollout<T>::state(std::int64_t layer, T* x, T* v, T* C, T* F, T* G) {
  Impl& m = *impl_;
  const std::lock_guard lock(m.busy);
  const Buffer<T> state = m.layer_state(layer);
  const Layout& layout = m.epochs[static_cast<std::size_t>(m.layers[static_cast<std::size_t>(layer)].epoch)];
  const auto copy = [&](T* out, int component, int width) {
    if (out) from_groups(layout, state.data(), m.components, component, width, out);
  };
  copy(x, kX, 3), copy(v, kV, 3), copy(C, kC, 9), copy(F, kF, 9);
  if (m.in.motion_gradient) copy(G, kG, 9);
}

template class Rollout<float>;
template class Rollout<double>;

}  // namespace diffmpm
