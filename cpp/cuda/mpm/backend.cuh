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

// Steps of a batch: the first of them that raises a flag stops the batch.
inline constexpr std::int64_t kMostBatchSteps = 64, kFirstBatchSteps = 8;
// Steps whose kernels go to the device together: the host prepares the next ones meanwhile.
inline constexpr std::int64_t kGraphSteps = 8;

// What the host wants to know of a step.
struct StepSummary {
  int bad, unsorted, spoilt;  // blocks
  double gravity[3], drag;

  DIFFMPM_HD StepSummary& operator+=(const StepSummary& o) {
    bad += o.bad, unsorted += o.unsorted, spoilt += o.spoilt, drag += o.drag;
    for (int r = 0; r < 3; ++r) gravity[r] += o.gravity[r];
    return *this;
  }
  DIFFMPM_HD std::uint8_t flags() const {
    return static_cast<std::uint8_t>((bad > 0 ? kFlagBad : 0) | (unsorted > 0 ? kFlagUnsorted : 0) |
                                     (spoilt > 0 ? kFlagSpoilt : 0));
  }
};

// A kernel that leaves memory as it is once the batch has stopped. Only `Summarize` writes that word, in its only block and
// behind a barrier that its threads reach after they have read it: so all threads of a kernel agree.
template <class Kernel>
struct UnlessStopped {
  using Args = typename Kernel::Args;
  using Shared = typename Kernel::Shared;

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    if (*a.stop == 0) Kernel::run(block, s, a);
  }
};

// The end of a step: joins the flags of the particle blocks and, where given, the partial sums of the adjoint, and stops the
// batch where a flag is raised. One block.
struct Summarize {
  struct Args {
    Index block_count, grid_count;
    const std::uint8_t* flags;
    const double *gravity, *drag;  // or null
    StepSummary* out;
    int* stop;
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
    block.for_each(1, [&](int) {
      *a.out = s.scratch[0];
      if (a.out->flags() != 0) *a.stop = 1;
    });
  }
};

template <class T, class Queue>
class DeviceBackend {
 public:
  using Layout = DeviceLayout;
  using Args = StepView<T>;

  DeviceBackend(const MpmParams& params, Queue queue, std::int64_t most_batch_steps = kMostBatchSteps)
      : params_(params),
        queue_(std::move(queue)),
        most_batch_steps_(most_batch_steps),
        summaries_(queue_.template allocate<StepSummary>(most_batch_steps)),
        stop_(queue_.template allocate<int>(1)) {
    queue_.clear(stop_.data(), 1);
  }

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
    a.stop = stop_.data();
    return a;
  }
  template <template <class, Basis> class Kernel>
  void launch(Index blocks, const Args& a) {
    if (params_.basis == Basis::cubic) {
      queue_.template launch<UnlessStopped<Kernel<T, Basis::cubic>>>(blocks, a);
    } else {
      queue_.template launch<UnlessStopped<Kernel<T, Basis::quadratic>>>(blocks, a);
    }
  }

  // Not many more than the order has lasted: where it is renewed, the rest of a batch has been launched for nothing.
  std::int64_t batch_steps(std::int64_t settled) const {
    return std::min(std::max(settled, kFirstBatchSteps), most_batch_steps_);
  }
  template <class Step>
  BatchOutcome forward(std::int64_t count, const Step& step) {
    run_batch(count, [&](std::int64_t k) {
      const Args a = step(k);
      launch<ParticlesToTiles>(a.layout.block_count, a);
      launch<TilesToGrid>(a.layout.grid_count, a);
      launch<GridToParticles>(a.layout.block_count, a);
      summarize(a, false, k);
    });
    return outcome(count, [](const StepSummary&) {});
  }
  // Adds to the derivatives in gravity and drag.
  template <class Step>
  BatchOutcome adjoint(std::int64_t count, const Step& step, double (&gravity)[3], double& drag) {
    run_batch(count, [&](std::int64_t k) {
      const Args a = step(k);
      launch<GridVelocity>(a.layout.grid_count, a);
      launch<GridToParticlesVjp>(a.layout.block_count, a);
      launch<TilesToGridVjp>(a.layout.grid_count, a);
      launch<ParticlesToTilesVjp>(a.layout.block_count, a);
      summarize(a, true, k);
    });
    return outcome(count, [&](const StepSummary& s) {
      for (int r = 0; r < 3; ++r) gravity[r] += s.gravity[r];
      drag += s.drag;
    });
  }

 private:
  static std::int64_t lanes(const Layout& layout) { return layout.group_count() * kLanes; }

  // Put steps 0, 1, ... on the queue, without waiting.
  template <class Step>
  void run_batch(std::int64_t count, const Step& step) {
    for (std::int64_t first = 0; first < count; first += kGraphSteps)
      queue_.batch([&] {
        for (std::int64_t k = first; k < std::min(first + kGraphSteps, count); ++k) step(k);
      });
  }
  void summarize(const Args& a, bool adjoint, std::int64_t k) {
    queue_.template launch<UnlessStopped<Summarize>>(
        1, {a.layout.block_count, a.layout.grid_count, a.flags, adjoint ? a.adj_gravity : nullptr,
            adjoint ? a.adj_drag : nullptr, summaries_.data() + k, stop_.data()});
  }
  // Wait for a batch; take(summary) for each step that ran.
  template <class Take>
  BatchOutcome outcome(std::int64_t count, const Take& take) {
    const std::vector<StepSummary> summaries = to_host(summaries_.data(), count);
    std::int64_t k = 0;
    while (k + 1 < count && summaries[static_cast<std::size_t>(k)].flags() == 0) ++k;
    for (std::int64_t n = 0; n <= k; ++n) take(summaries[static_cast<std::size_t>(n)]);
    const std::uint8_t flags = summaries[static_cast<std::size_t>(k)].flags();
    if (flags != 0) queue_.clear(stop_.data(), 1);
    return {k + 1, flags};
  }

  MpmParams params_;
  Queue queue_;
  std::int64_t most_batch_steps_;
  Buffer<StepSummary> summaries_;  // of a batch
  Buffer<int> stop_;               // one word
  Buffer<Index> lane_of_;
  Buffer<T> tiles_, grid_v_;
  Buffer<std::uint8_t> flags_;
  Buffer<double> gravity_, drag_;
};

}  // namespace diffmpm::cuda
