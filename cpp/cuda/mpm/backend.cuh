// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "diffmpm/core/memory.hpp"
#include "mpm/adjoint.cuh"
#include "mpm/forward.cuh"
#include "mpm/groups.cuh"
#include "mpm/layout.cuh"

// A device as a backend of `Trajectory` (cpp/src/mpm/trajectory.hpp), on a queue: a stream of a device, or in the tests the CPU
// that stands for one. All arrays are where the queue's memory is.

namespace diffmpm::cuda {

// What the host wants to know of a step.
struct StepSummary {
  int bad, unsorted, spoilt;  // blocks
  double gravity[3], drag;

  DIFFMPM_HD StepSummary& operator+=(const StepSummary& o) {
    bad += o.bad, unsorted += o.unsorted, spoilt += o.spoilt, drag += o.drag;
    for (int r = 0; r < 3; ++r) gravity[r] += o.gravity[r];
    return *this;
  }
};

// Joins the flags of the particle blocks and, where given, the partial sums of the adjoint. One block.
struct Summarize {
  struct Args {
    Index block_count, grid_count;
    const std::uint8_t* flags;
    const double *gravity, *drag;  // or null
    StepSummary* out;
  };
  struct Shared {
    StepSummary scratch[kThreads];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const Index count = a.gravity && a.grid_count > a.block_count ? a.grid_count : a.block_count;
    fold(block, s.scratch, count, [&](int n) {
      StepSummary one{};
      if (n < a.block_count) {
        one.bad = (a.flags[n] & kFlagBad) != 0, one.unsorted = (a.flags[n] & kFlagUnsorted) != 0;
        one.spoilt = (a.flags[n] & kFlagSpoilt) != 0, one.drag = a.drag ? a.drag[n] : 0.0;
      }
      if (a.gravity && n < a.grid_count)
        for (int r = 0; r < 3; ++r) one.gravity[r] = a.gravity[3 * std::int64_t{n} + r];
      return one;
    });
    block.for_each(1, [&](int) { *a.out = s.scratch[0]; });
  }
};

template <class T, class Queue>
class DeviceBackend {
 public:
  using Layout = DeviceLayout;
  using Args = StepView<T>;

  DeviceBackend(const MpmParams& params, Queue queue)
      : params_(params), queue_(std::move(queue)), summary_(queue_.template allocate<StepSummary>(1)) {}

  Layout make_layout(const T* x, std::int64_t count) { return make_device_layout(queue_, params_, x, count); }
  // First particle outside of the grid, or -1.
  std::int64_t find_outside(const T* x, std::int64_t count) {
    if (count == 0) return -1;
    const auto outside = queue_.template allocate<Index>(count);
    queue_.for_all(Outside<T>{count, step_constants<T>(params_), params_.basis, x, outside.data()});
    queue_.inclusive_sum(outside.data(), count);
    Index total = 0;
    queue_.to_host(&total, outside.data() + count - 1, 1);
    if (total == 0) return -1;
    const std::vector<Index> sums = to_host(outside.data(), count);
    return std::find(sums.begin(), sums.end(), 1) - sums.begin();
  }

  // Memory.
  std::size_t default_budget() const { return queue_.free_memory() / 4; }
  template <class V>
  void reserve(Buffer<V>& buffer, std::size_t count) {
    if (count > buffer.size()) buffer = queue_.template allocate<V>(static_cast<std::int64_t>(count));
  }
  void clear(T* values, std::int64_t count) { queue_.clear(values, count); }
  void copy(T* to, const T* from, std::int64_t count) { queue_.copy(to, from, count); }
  template <class V>
  std::vector<V> to_host(const V* values, std::int64_t count) {
    std::vector<V> out(static_cast<std::size_t>(count));
    queue_.to_host(out.data(), values, count);
    return out;
  }

  // Groups.
  void to_groups(const Layout& layout, const T* in, int width, T* groups, int stride, int first, bool) {
    queue_.for_all(ToGroups<T, false>{lanes(layout), layout.view.ids, in, width, stride, first, groups});
  }
  void add_to_groups(const Layout& layout, const T* in, int width, T* groups, int stride, int first) {
    queue_.for_all(ToGroups<T, true>{lanes(layout), layout.view.ids, in, width, stride, first, groups});
  }
  void from_groups(const Layout& layout, const T* groups, int stride, int first, int width, T* out) {
    queue_.for_all(FromGroups<T>{lanes(layout), layout.view.ids, groups, stride, first, width, out});
  }
  void set_identity(const Layout& layout, T* groups, int stride, int first) {
    queue_.for_all(SetIdentity<T>{lanes(layout), stride, first, groups});
  }
  void reset_padding(const Layout&, T*, int) const {}
  // Take the groups of `from` as what the next calls of reorder read.
  void leave_order(const Layout& from) {
    reserve(lane_of_, static_cast<std::size_t>(lanes(from)));
    queue_.for_all(InvertIds{lanes(from), from.view.ids, lane_of_.data()});
  }
  void reorder(const Layout& to, const T* in, T* out, int stride, bool) {
    queue_.for_all(Reorder<T>{lanes(to), to.view.ids, lane_of_.data(), stride, in, out});
  }

  // Matrices.
  void invert(const T* in, std::int64_t count, T* out) { queue_.for_all(Invert<T>{count, in, out}); }
  void invert_vjp(const T* in, std::int64_t count, T* adj) { queue_.for_all(InvertVjp<T>{count, in, adj}); }

  // A step's arguments, with the work space of an order.
  Args args(const Layout& layout) {
    const auto blocks = static_cast<std::size_t>(layout.block_count()),
               grid = static_cast<std::size_t>(layout.grid_count());
    const bool cubic = params_.basis == Basis::cubic;
    const auto tile =
        static_cast<std::size_t>(cubic ? TileShape<Basis::cubic>::kSize : TileShape<Basis::quadratic>::kSize);
    reserve(tiles_, blocks * tile);
    reserve(grid_v_, grid * kGridBlockSize);
    reserve(flags_, blocks);
    reserve(gravity_, grid * 3);
    reserve(drag_, blocks);
    Args a{};
    a.c = step_constants<T>(params_), a.layout = layout.view;
    a.tiles = tiles_.data(), a.grid_v = grid_v_.data(), a.flags = flags_.data();
    a.adj_gravity = gravity_.data(), a.adj_drag = drag_.data();
    return a;
  }
  template <template <class, Basis> class Kernel>
  void launch(Index blocks, const Args& a) {
    if (params_.basis == Basis::cubic) {
      queue_.template launch<Kernel<T, Basis::cubic>>(blocks, a);
    } else {
      queue_.template launch<Kernel<T, Basis::quadratic>>(blocks, a);
    }
  }

  std::uint8_t forward(const Args& a) {
    launch<ParticlesToTiles>(a.layout.block_count, a);
    launch<TilesToGrid>(a.layout.grid_count, a);
    launch<GridToParticles>(a.layout.block_count, a);
    return flags_of(summarize(a, false));
  }
  // Adds to the derivatives in gravity and drag.
  std::uint8_t adjoint(const Args& a, double (&gravity)[3], double& drag) {
    launch<GridVelocity>(a.layout.grid_count, a);
    launch<GridToParticlesVjp>(a.layout.block_count, a);
    launch<TilesToGridVjp>(a.layout.grid_count, a);
    launch<ParticlesToTilesVjp>(a.layout.block_count, a);
    const StepSummary s = summarize(a, true);
    for (int r = 0; r < 3; ++r) gravity[r] += s.gravity[r];
    drag += s.drag;
    return flags_of(s);
  }

 private:
  static std::int64_t lanes(const Layout& layout) { return layout.group_count() * kLanes; }
  static std::uint8_t flags_of(const StepSummary& s) {
    return static_cast<std::uint8_t>((s.bad > 0 ? kFlagBad : 0) | (s.unsorted > 0 ? kFlagUnsorted : 0) |
                                     (s.spoilt > 0 ? kFlagSpoilt : 0));
  }

  // The one word of a step that comes to the host.
  StepSummary summarize(const Args& a, bool adjoint) {
    queue_.template launch<Summarize>(
        1, {a.layout.block_count, a.layout.grid_count, a.flags, adjoint ? a.adj_gravity : nullptr,
            adjoint ? a.adj_drag : nullptr, summary_.data()});
    StepSummary out{};
    queue_.to_host(&out, summary_.data(), 1);
    return out;
  }

  MpmParams params_;
  Queue queue_;
  Buffer<StepSummary> summary_;
  Buffer<Index> lane_of_;
  Buffer<T> tiles_, grid_v_;
  Buffer<std::uint8_t> flags_;
  Buffer<double> gravity_, drag_;
};

}  // namespace diffmpm::cuda
