// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <vector>

#include "diffmpm/core/host_queue.hpp"
#include "diffmpm/mpm/reorder.hpp"
#include "kernels.hpp"

// The StepBackend of the CPU.

namespace diffmpm {

template <class T>
class CpuBackend : public GroupMoves<CpuBackend<T>, T> {
 public:
  using Scalar = T;
  using Layout = diffmpm::Layout;
  using Args = StepArgs<T>;
  using Queue = HostQueue;

  explicit CpuBackend(const MpmParams& params, HostQueue = HostQueue({})) : params_(params) {}

  Layout make_layout(const T* x, std::int64_t count) const { return diffmpm::make_layout(params_, x, count); }
  std::int64_t find_outside(const T* x, std::int64_t count) const { return diffmpm::find_outside(params_, x, count); }

  static std::size_t default_budget() { return default_memory_budget(); }
  template <class V>
  static void reserve(Buffer<V>& buffer, std::size_t count) {
    buffer.reserve(count);
  }
  static void clear(T* values, std::int64_t count) { std::fill(values, values + count, T(0)); }
  static void copy(T* to, const T* from, std::int64_t count) { std::copy(from, from + count, to); }
  static std::vector<T> to_host(const T* values, std::int64_t count) { return {values, values + count}; }

  template <class Item>
  static void for_all(const Item& item) {
    parallel_for(item.count, 1024, [item](std::int64_t n) { item(n); });
  }
  static const Index* ids(const Layout& layout) { return layout.ids.data(); }
  static const GridBlock* grid_blocks(const Layout& layout) { return layout.grid.data(); }
  static constexpr bool kWritesPadding = true;  // packs have lanes of padding

  // Padding of a state has the position of its particle, no velocity and no deformation.
  static void reset_padding(const Layout& layout, T* groups, int stride) {
    for (const ParticleBlock& b : layout.blocks) {
      const std::int64_t g = std::int64_t{b.first_group} + b.group_count - 1;
      for (int l = b.particle_count - (b.group_count - 1) * kLanes; l < kLanes; ++l)
        for (int k = kV; k < stride; ++k)
          groups[(g * stride + k) * kLanes + l] = k >= kF && (k - kF) % 9 % 4 == 0 ? T(1) : T(0);
    }
  }

  Args args(const Layout& layout) {
    const std::size_t blocks = layout.blocks.size();
    tiles_.reserve(blocks * static_cast<std::size_t>(table_.tile_size(params_.basis)));
    grid_v_.reserve(layout.grid.size() * kGridBlockSize);
    flags_.reserve(blocks);
    Args a;
    a.params = &params_, a.layout = &layout;
    a.tiles = tiles_.data(), a.grid_v = grid_v_.data(), a.flags = flags_.data();
    // At least two blocks per thread; the results do not depend on the number.
    a.threads = std::clamp(static_cast<int>(std::min<std::size_t>(blocks, 1 << 20)) / 2, 1, thread_count());
    return a;
  }
  static std::int64_t batch_steps(std::int64_t) { return 1; }
  template <class Step>
  BatchOutcome forward(std::int64_t, const Step& step) const {
    const Args a = step(0);
    table_.particles_to_tiles(a);
    table_.tiles_to_grid(a);
    table_.grid_to_particles(a);
    return {1, joined_flags(a)};
  }
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
  void scatter_mass(const Args& a) const { table_.particles_to_tiles(a), table_.tiles_to_grid(a); }
  void scatter_mass_vjp(const Args& a) const { table_.particles_to_tiles_vjp(a); }

 private:
  static std::uint8_t joined_flags(const Args& a) {
    std::uint8_t all = 0;
    for (std::size_t n = 0; n < a.layout->blocks.size(); ++n) all |= a.flags[n];
    return all;
  }

  MpmParams params_;
  const Kernels<T>& table_ = isa_table<Kernels<T>>();
  Buffer<T> tiles_, grid_v_;
  Buffer<std::uint8_t> flags_;
  std::vector<double> gravity_, drag_;  // partial sums of one step
};

}  // namespace diffmpm
