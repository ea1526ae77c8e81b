// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <vector>

#include "diffmpm/core/memory.hpp"
#include "groups.hpp"
#include "kernels.hpp"

// The CPU as a backend of `Trajectory`: its kernels, its order of the particles, its memory.

namespace diffmpm {

template <class T>
class CpuBackend {
 public:
  using Layout = diffmpm::Layout;
  using Args = StepArgs<T>;

  explicit CpuBackend(const MpmParams& params) : params_(params) {}

  Layout make_layout(const T* x, std::int64_t count) const { return diffmpm::make_layout(params_, x, count); }
  std::int64_t find_outside(const T* x, std::int64_t count) const { return diffmpm::find_outside(params_, x, count); }

  // Memory.
  static std::size_t default_budget() { return default_memory_budget(); }
  template <class V>
  static void reserve(Buffer<V>& buffer, std::size_t count) {
    buffer.reserve(count);
  }
  static void clear(T* values, std::int64_t count) { std::fill(values, values + count, T(0)); }
  static void copy(T* to, const T* from, std::int64_t count) { std::copy(from, from + count, to); }
  static std::vector<T> to_host(const T* values, std::int64_t count) { return {values, values + count}; }

  // Groups.
  static void to_groups(const Layout& layout, const T* in, int width, T* groups, int stride, int first,
                        bool zero_padding) {
    diffmpm::to_groups(layout, in, width, groups, stride, first, zero_padding);
  }
  static void add_to_groups(const Layout& layout, const T* in, int width, T* groups, int stride, int first) {
    diffmpm::add_to_groups(layout, in, width, groups, stride, first);
  }
  static void from_groups(const Layout& layout, const T* groups, int stride, int first, int width, T* out) {
    diffmpm::from_groups(layout, groups, stride, first, width, out);
  }
  static void set_identity(const Layout& layout, T* groups, int stride, int first) {
    for (std::int64_t g = 0; g < layout.group_count(); ++g)
      for (int k = 0; k < 9; ++k)
        std::fill_n(groups + (g * stride + first + k) * kLanes, kLanes, k % 4 == 0 ? T(1) : T(0));
  }
  static void reset_padding(const Layout& layout, T* groups, int stride) {
    diffmpm::reset_padding(layout, groups, stride);
  }
  // Take the groups of `from` as what the next calls of reorder read.
  void leave_order(const Layout& from) { invert_ids(from, lane_of_); }
  void reorder(const Layout& to, const T* in, T* out, int stride, bool zero_padding) const {
    reorder_groups(to, lane_of_, in, out, stride, zero_padding);
  }

  // Matrices.
  static void invert(const T* in, std::int64_t count, T* out) {
    for (std::int64_t p = 0; p < count; ++p) store(inverse(load(in + 9 * p)), out + 9 * p);
  }
  static void invert_vjp(const T* in, std::int64_t count, T* adj) {
    for (std::int64_t p = 0; p < count; ++p)
      store(inverse_vjp(inverse(load(in + 9 * p)), load(adj + 9 * p)), adj + 9 * p);
  }

  // A step's arguments, with the work space of an order.
  Args args(const Layout& layout) {
    const std::size_t blocks = layout.blocks.size();
    tiles_.reserve(blocks * static_cast<std::size_t>(table_.tile_size(params_.basis)));
    grid_v_.reserve(layout.grid.size() * kGridBlockSize);
    flags_.reserve(blocks);
    Args a;
    a.params = &params_, a.layout = &layout;
    a.tiles = tiles_.data(), a.grid_v = grid_v_.data(), a.flags = flags_.data();
    // A thread needs a few blocks to be worth waking; the results do not depend on the number.
    a.threads = std::clamp(static_cast<int>(std::min<std::size_t>(blocks, 1 << 20)) / 2, 1, thread_count());
    return a;
  }
  // Nothing is gained by several steps at a time.
  static std::int64_t batch_steps(std::int64_t) { return 1; }
  template <class Step>
  BatchOutcome forward(std::int64_t, const Step& step) const {
    const Args a = step(0);
    table_.particles_to_tiles(a);
    table_.tiles_to_grid(a);
    table_.grid_to_particles(a);
    return {1, joined_flags(a)};
  }
  // Adds to the derivatives in gravity and drag.
  template <class Step>
  BatchOutcome adjoint(std::int64_t, const Step& step, double (&gravity)[3], double& drag) {
    Args a = step(0);
    gravity_.assign(a.layout->grid.size() * 3, 0.0);
    drag_.assign(a.layout->blocks.size(), 0.0);
    a.adj_gravity = gravity_.data(), a.adj_drag = drag_.data();
    table_.grid_velocity(a);
    table_.grid_to_particles_vjp(a);
    table_.tiles_to_grid_vjp(a);
    table_.particles_to_tiles_vjp(a);
    for (std::size_t n = 0; n < gravity_.size(); ++n) gravity[n % 3] += gravity_[n];
    for (const double value : drag_) drag += value;
    return {1, joined_flags(a)};
  }

 private:
  static Mat3<T> load(const T* values) {
    Mat3<T> m;
    std::copy(values, values + 9, m.m);
    return m;
  }
  static void store(const Mat3<T>& m, T* out) { std::copy(m.m, m.m + 9, out); }
  static std::uint8_t joined_flags(const Args& a) {
    std::uint8_t all = 0;
    for (std::size_t n = 0; n < a.layout->blocks.size(); ++n) all |= a.flags[n];
    return all;
  }

  MpmParams params_;
  const Kernels<T>& table_ = isa_table<Kernels<T>>();
  std::vector<std::int64_t> lane_of_;
  Buffer<T> tiles_, grid_v_;
  Buffer<std::uint8_t> flags_;
  std::vector<double> gravity_, drag_;  // partial sums of one step
};

}  // namespace diffmpm
