// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <numeric>

#include "diffmpm/math/polar3.hpp"
#include "rollout_impl.hpp"

namespace diffmpm {
namespace {

template <class T>
void clear(const Buffer<T>& buffer, std::size_t count) {
  std::fill(buffer.data(), buffer.data() + count, T(0));
}

}  // namespace

template <class T>
void Rollout<T>::Impl::add_cotangents(std::int64_t layer, Reverse& r) {
  const Layout& layout = epochs[static_cast<std::size_t>(r.epoch)];
  for (const StateAdjoint<T>& a : r.adjoints) {
    if (a.layer != layer) continue;
    const auto add = [&](const T* in, int component, int width) {
      if (in) add_to_groups(layout, in, width, r.adj.data(), components, component);
    };
    add(a.x, kX, 3), add(a.v, kV, 3), add(a.C, kC, 9), add(a.F, kF, 9);
    if (this->in.motion_gradient) add(a.G, kG, 9);
  }
}

// Bring the cotangents into the order of `step`; returns the following layer's state in that order.
template <class T>
const T* Rollout<T>::Impl::enter_epoch(std::int64_t step, Reverse& r) {
  const int epoch = layers[static_cast<std::size_t>(step)].epoch;
  const T* next = layers[static_cast<std::size_t>(step) + 1].state.data();
  if (epoch == r.epoch) return next;
  const Layout& layout = epochs[static_cast<std::size_t>(epoch)];
  invert_ids(epochs[static_cast<std::size_t>(r.epoch)], lane_of);
  r.next.reserve(state_size(epoch));
  reorder_groups(layout, lane_of, next, r.next.data(), components, false);
  reset_padding(layout, r.next.data(), components);
  const auto move = [&](Buffer<T>& groups, int stride) {
    r.spare.reserve(static_cast<std::size_t>(layout.group_count() * stride * kLanes));
    reorder_groups(layout, lane_of, groups.data(), r.spare.data(), stride, true);
    std::swap(groups, r.spare);
  };
  move(r.adj, components);
  move(r.adj_constants, const_components);
  r.epoch = epoch;
  return r.next.data();
}

template <class T>
void Rollout<T>::Impl::reverse_step(std::int64_t step, Reverse& r) {
  if (in.poll) in.poll();
  const Step& layer = layers[static_cast<std::size_t>(step)];
  const T* next = enter_epoch(step, r);
  StepArgs<T> a = args(step);
  a.state = layer.state.data(), a.grid_mq = layer.grid.data();
  a.next = const_cast<T*>(next);  // the adjoint passes only read it
  a.adj = r.adj.data(), a.adj_constants = r.adj_constants.data();
  if (a.control && r.out.control) a.adj_control = r.out.control + step / in.control_stride * in.count * 9;
  r.gravity.assign(a.layout->grid.size() * 3, 0.0);
  r.drag.assign(a.layout->blocks.size(), 0.0);
  a.adj_gravity = r.gravity.data(), a.adj_drag = r.drag.data();
  table.grid_velocity(a);
  table.grid_to_particles_vjp(a);
  table.tiles_to_grid_vjp(a);
  table.particles_to_tiles_vjp(a);
  for (std::size_t n = 0; n < a.layout->blocks.size(); ++n)
    if (a.flags[n] & kFlagBad) report_degenerate(step);
  for (std::size_t n = 0; n < r.gravity.size(); ++n) r.out.gravity[n % 3] += r.gravity[n];
  r.out.drag = std::accumulate(r.drag.begin(), r.drag.end(), r.out.drag);
  add_cotangents(step, r);
}

template <class T>
void Rollout<T>::Impl::report_degenerate(std::int64_t step) {
  std::vector<T> F(static_cast<std::size_t>(in.count) * 9);
  const Step& layer = layers[static_cast<std::size_t>(step)];
  from_groups(epochs[static_cast<std::size_t>(layer.epoch)], layer.state.data(), components, kF, 9, F.data());
  const T* control = control_at(step);
  T worst(1);
  std::int64_t particle = 0;
  for (std::int64_t p = 0; p < in.count; ++p) {
    Mat3<T> Fe, unused = Mat3<T>::zero(), Fp = Mat3<T>::identity();
    for (int k = 0; k < 9; ++k) {
      Fe.m[k] = F[static_cast<std::size_t>(9 * p + k)] + (control ? control[9 * p + k] : T(0));
      if (in.Fp) Fp.m[k] = in.Fp[9 * p + k];
    }
    const Mat3<T> cof = cofactor(Fp);
    Fe = (T(1) / determinant(Fp, cof)) * mul_nt(Fe, cof);
    T ratio(1);
    polar_rotation_vjp(Fe, polar_rotation(Fe), unused, unused, ratio);
    if (ratio < worst) worst = ratio, particle = p;
  }
  throw StepError(Cause::degenerate, particle, step);
}

// Steps [begin, end), whose layers and grids are all in memory.
template <class T>
void Rollout<T>::Impl::reverse_stored(std::int64_t begin, std::int64_t end, Reverse& r) {
  for (std::int64_t n = end - 1; n >= begin; --n) reverse_step(n, r);
}

// Steps [begin, end), whose first and last layers are in memory, with room for `slots` more layers: refill and go back
// where they fit, else keep some layers between and do the same with each part, the last one first.
template <class T>
void Rollout<T>::Impl::reverse(std::int64_t begin, std::int64_t end, std::int64_t slots, Reverse& r) {
  const auto at = [&](std::int64_t n) -> Step& { return layers[static_cast<std::size_t>(n)]; };
  const bool leaf = end - begin <= std::max<std::int64_t>(slots, 1);
  const std::int64_t parts = leaf ? end - begin : std::min(end - begin, std::max<std::int64_t>(1, slots / 2) + 1);
  const std::int64_t length = (end - begin + parts - 1) / parts;
  const Buffer<T>* state = &at(begin).state;
  for (std::int64_t n = begin; n < end; ++n) {
    if (!leaf && n + length >= end && (n - begin) % length == 0) break;  // the last part is refilled by its own call
    const bool keep = (n + 1 - begin) % length == 0 && n + 1 < end;
    Buffer<T>& next = keep ? at(n + 1).state : scratch[n % 2];
    advance(n, *state, next, leaf ? at(n).grid : scratch_grid);
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

template <class T>
void Rollout<T>::Impl::finish(Reverse& r) {
  const Layout& layout = epochs[static_cast<std::size_t>(r.epoch)];
  const auto state = [&](T* out, int component, int width) {
    if (out) from_groups(layout, r.adj.data(), components, component, width, out);
  };
  const auto constant = [&](T* out, int component, int width) {
    if (out) from_groups(layout, r.adj_constants.data(), const_components, component, width, out);
  };
  state(r.out.x, kX, 3), state(r.out.v, kV, 3), state(r.out.C, kC, 9), state(r.out.F, kF, 9);
  if (in.motion_gradient) state(r.out.G, kG, 9);
  constant(r.out.mass, kMass, 1), constant(r.out.volume, kVolume, 1);
  constant(r.out.lam, kLam, 1), constant(r.out.mu, kMu, 1);
  if (!in.Fp || !r.out.Fp) return;
  constant(r.out.Fp, kFpInv, 9);
  for (std::int64_t p = 0; p < in.count; ++p) {
    // adj_Fp = -Fp^-T adj_(Fp^-1) Fp^-T
    Mat3<T> Fp, adj;
    for (int k = 0; k < 9; ++k) Fp.m[k] = in.Fp[9 * p + k], adj.m[k] = r.out.Fp[9 * p + k];
    const Mat3<T> cof = cofactor(Fp);
    const Mat3<T> inv_t = (T(1) / determinant(Fp, cof)) * cof;
    const Mat3<T> result = T(-1) * mul(mul(inv_t, adj), inv_t);
    for (int k = 0; k < 9; ++k) r.out.Fp[9 * p + k] = result.m[k];
  }
}

template <class T>
void Rollout<T>::vjp(const std::vector<StateAdjoint<T>>& adjoints, RolloutGradients<T>& out) {
  Impl& m = *impl_;
  const std::lock_guard lock(m.busy);
  const std::int64_t steps = m.in.steps;
  typename Rollout<T>::Impl::Reverse r{adjoints, out, m.layers.back().epoch, {}, {}, {}, {}, {}, {}};
  const std::size_t groups = static_cast<std::size_t>(m.epochs[static_cast<std::size_t>(r.epoch)].group_count());
  r.adj.reserve(m.state_size(r.epoch));
  r.adj_constants.reserve(groups * static_cast<std::size_t>(m.const_components * kLanes));
  clear(r.adj, r.adj.size());
  clear(r.adj_constants, r.adj_constants.size());
  std::fill(out.gravity, out.gravity + 3, 0.0);
  out.drag = 0;
  if (out.control) std::fill(out.control, out.control + m.in.control_layers * m.in.count * 9, T(0));
  m.add_cotangents(steps, r);
  const std::int64_t slots = std::max<std::int64_t>(1, m.capacity() - stored_layers());
  for (std::int64_t end = steps; end > 0;) {
    std::int64_t begin = end - 1;
    while (!m.layers[static_cast<std::size_t>(begin)].state) --begin;
    if (m.layers[static_cast<std::size_t>(begin)].grid) {
      m.reverse_stored(begin, end, r);
    } else {
      m.reverse(begin, end, slots, r);
    }
    end = begin;
  }
  m.finish(r);
}

template class Rollout<float>;
template class Rollout<double>;

}  // namespace diffmpm
