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

// What a step of the adjoint adds to the derivatives in gravity and drag, and its flags.
struct StepSums {
  double gravity[3], drag;
  int flags;

  DIFFMPM_HD StepSums& operator+=(const StepSums& o) {
    for (int r = 0; r < 3; ++r) gravity[r] += o.gravity[r];
    drag += o.drag;
    return *this;
  }
};

// A flag of a step that was not run, because one before it in its batch has raised a flag.
inline constexpr int kFlagSkipped = 128;

// A kernel of a step that does nothing once the batch has stopped. The flags of the step before are complete when it runs, so
// all of its threads agree.
template <class Kernel>
struct UnlessStopped {
  using Args = typename Kernel::Args;
  using Shared = typename Kernel::Shared;
  static constexpr int kBlockThreads = kThreadsOf<Kernel>, kBlocks = kBlocksOf<Kernel>;

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    if (*a.stop == 0) {
      Kernel::run(block, s, a);
    } else if (block.index() == 0) {
      block.raise(a.flags, kFlagSkipped);
    }
  }
};

// Add up what the blocks of each step of a batch have left. One block a step.
struct SumSteps {
  struct Args {
    Index chunk_count, pair_count;
    const double *gravity, *drag;
    const int* flags;
    StepSums* out;
  };
  struct Shared {
    StepSums scratch[kThreads];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const std::int64_t step = block.index();
    const double *gravity = a.gravity + 3 * step * a.pair_count, *drag = a.drag + step * a.chunk_count;
    fold(block, s.scratch, a.pair_count > a.chunk_count ? a.pair_count : a.chunk_count, [&](int n) {
      StepSums one{};
      if (n < a.chunk_count) one.drag = drag[n];
      if (n < a.pair_count)
        for (int r = 0; r < 3; ++r) one.gravity[r] = gravity[3 * std::int64_t{n} + r];
      return one;
    });
    block.for_each(1, [&](int) {
      a.out[step] = s.scratch[0];
      a.out[step].flags = a.flags[step];
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
        flags_(queue_.template allocate<int>(most_batch_steps + 1)) {
    queue_.clear(flags_.data(), 1);
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
    const auto chunks = static_cast<std::size_t>(layout.chunk_count()),
               grid = static_cast<std::size_t>(layout.grid_count());
    const bool cubic = params_.basis == Basis::cubic;
    const auto tile =
        static_cast<std::size_t>(cubic ? TileShape<Basis::cubic>::kSize : TileShape<Basis::quadratic>::kSize);
    reserve(tiles_, chunks * tile);
    reserve(grid_v_, grid * kGridBlockSize);
    Args a{};
    a.c = step_constants<T>(params_), a.layout = layout.view;
    a.tiles = tiles_.data(), a.grid_v = grid_v_.data(), a.stop = flags_.data();
    const auto steps = static_cast<std::size_t>(most_batch_steps_), pairs = (grid + 1) / 2;
    reserve(gravity_, 3 * steps * pairs), reserve(drag_, steps * chunks), reserve(sums_, steps);
    return a;
  }
  // Step k of a batch raises flags in the word behind that of the step before; the first word stays zero.
  Args with_flags(Args a, std::int64_t k) {
    a.stop = flags_.data() + k, a.flags = flags_.data() + k + 1;
    return a;
  }
  template <template <class, Basis> class Kernel>
  void launch(std::int64_t blocks, const Args& a) {
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
      const Args a = with_flags(step(k), k);
      launch<ParticlesToTiles>(a.layout.chunk_count, a);
      launch<TilesToGrid>(grid_pairs(a), a);
      launch<GridToParticles>(a.layout.chunk_count, a);
    });
    return outcome(to_host(flags_.data() + 1, count), [](int flags) { return flags; });
  }
  // Adds to the derivatives in gravity and drag.
  template <class Step>
  BatchOutcome adjoint(std::int64_t count, const Step& step, double (&gravity)[3], double& drag) {
    SumSteps::Args sums{};
    run_batch(count, [&](std::int64_t k) {
      Args a = with_flags(step(k), k);
      sums = {a.layout.chunk_count, static_cast<Index>(grid_pairs(a)), gravity_.data(), drag_.data(), flags_.data() + 1,
              sums_.data()};
      a.adj_gravity = gravity_.data() + 3 * k * sums.pair_count, a.adj_drag = drag_.data() + k * sums.chunk_count;
      launch<GridVelocity>(grid_pairs(a), a);
      launch<GridToParticlesVjp>(a.layout.chunk_count, a);
      launch<TilesToGridVjp>(grid_pairs(a), a);
      launch<ParticlesToTilesVjp>(a.layout.chunk_count, a);
    });
    queue_.template launch<SumSteps>(count, sums);
    const std::vector<StepSums> steps = to_host(sums_.data(), count);
    const BatchOutcome batch = outcome(steps, [](const StepSums& s) { return s.flags; });
    for (std::int64_t k = 0; k < batch.steps; ++k) {
      const StepSums& s = steps[static_cast<std::size_t>(k)];
      for (int r = 0; r < 3; ++r) gravity[r] += s.gravity[r];
      drag += s.drag;
    }
    return batch;
  }
  static std::int64_t grid_pairs(const Args& a) { return (std::int64_t{a.layout.grid_count} + 1) / 2; }

 private:
  static std::int64_t lanes(const Layout& layout) { return layout.group_count() * kLanes; }

  // Put steps 0, 1, ... on the queue, without waiting.
  template <class Step>
  void run_batch(std::int64_t count, const Step& step) {
    queue_.clear(flags_.data() + 1, count);
    for (std::int64_t first = 0; first < count; first += kGraphSteps)
      queue_.batch([&] {
        for (std::int64_t k = first; k < std::min(first + kGraphSteps, count); ++k) step(k);
      });
  }
  // A batch has ended behind the first step that raised a flag.
  template <class Step, class Flags>
  static BatchOutcome outcome(const std::vector<Step>& steps, const Flags& flags) {
    const auto last = std::find_if(steps.begin(), steps.end() - 1, [&](const Step& s) { return flags(s) != 0; });
    return {last - steps.begin() + 1, static_cast<std::uint8_t>(flags(*last))};
  }

  MpmParams params_;
  Queue queue_;
  std::int64_t most_batch_steps_;
  Buffer<int> flags_;  // zero, and a word for each step of a batch
  Buffer<Index> lane_of_;
  Buffer<T> tiles_, grid_v_;
  Buffer<double> gravity_, drag_;  // partial sums of each step of a batch
  Buffer<StepSums> sums_;
};

}  // namespace diffmpm::cuda
