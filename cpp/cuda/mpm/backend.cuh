// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "diffmpm/core/memory.hpp"
#include "diffmpm/mpm/reorder.hpp"
#include "mpm/adjoint.cuh"
#include "mpm/forward.cuh"
#include "mpm/layout.cuh"

// The StepBackend of a device, on a queue: a stream of the device, or its emulation in the tests. All arrays are memory of the queue.

namespace diffmpm::cuda {

// Steps per batch: the first one that raises a flag stops the batch.
inline constexpr std::int64_t kMostBatchSteps = 64, kFirstBatchSteps = 8;
// Steps per graph: the host prepares the next graph while the device runs one.
inline constexpr std::int64_t kGraphSteps = 8;

// Contribution of a step to the derivatives with respect to gravity and drag, and its flags.
struct StepSums {
  double gravity[3], drag;
  int flags;

  DIFFMPM_HD StepSums& operator+=(const StepSums& o) {
    for (int r = 0; r < 3; ++r) gravity[r] += o.gravity[r];
    drag += o.drag;
    return *this;
  }
};

// Flag of a step that did not run, because an earlier one of its batch raised a flag.
inline constexpr int kFlagSkipped = 128;

// A kernel of a step that does nothing once the batch has stopped. The flags of the previous step are complete when it runs, so all
// of its threads agree.
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

// Sums the results of the thread blocks of each step of a batch. One thread block per step.
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

// One for each particle outside of the grid.
template <class T>
struct Outside {
  std::int64_t count;
  StepConstants<T> c;
  Basis basis;
  const T* x;
  Index* outside;

  DIFFMPM_HD void operator()(std::int64_t n) const { outside[n] = inside_grid(c, basis, x + 3 * n) ? 0 : 1; }
};

template <class T, class Q>
class DeviceBackend : public GroupMoves<DeviceBackend<T, Q>, T> {
 public:
  using Scalar = T;
  using Queue = Q;
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

  template <class Item>
  void for_all(const Item& item) {
    queue_.for_all(item);
  }
  static const Index* ids(const Layout& layout) { return layout.view.ids; }
  static const GridBlock* grid_blocks(const Layout& layout) { return layout.view.grid; }
  static constexpr bool kWritesPadding = false;  // no thread runs on padding
  void reset_padding(const Layout&, T*, int) const {}

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
  // Step k of a batch raises flags in word k + 1; word 0 stays zero.
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

  // Not many more than the ordering has lasted: where it ends, the rest of the batch is discarded.
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
      const StepSums& s = steps[k];
      for (int r = 0; r < 3; ++r) gravity[r] += s.gravity[r];
      drag += s.drag;
    }
    return batch;
  }
  void scatter_mass(const Args& args) {
    const Args a = with_flags(args, 0);
    launch<ParticlesToTiles>(a.layout.chunk_count, a);
    launch<TilesToGrid>(grid_pairs(a), a);
  }
  void scatter_mass_vjp(const Args& args) { launch<ParticlesToTilesVjp>(args.layout.chunk_count, with_flags(args, 0)); }
  static std::int64_t grid_pairs(const Args& a) { return (std::int64_t{a.layout.grid_count} + 1) / 2; }

 private:
  // Issues steps 0, 1, ... without waiting.
  template <class Step>
  void run_batch(std::int64_t count, const Step& step) {
    queue_.clear(flags_.data() + 1, count);
    for (std::int64_t first = 0; first < count; first += kGraphSteps)
      queue_.batch([&] {
        for (std::int64_t k = first; k < std::min(first + kGraphSteps, count); ++k) step(k);
      });
  }
  // A batch ends after the first step that raised a flag.
  template <class Step, class Flags>
  static BatchOutcome outcome(const std::vector<Step>& steps, const Flags& flags) {
    const auto last = std::find_if(steps.begin(), steps.end() - 1, [&](const Step& s) { return flags(s) != 0; });
    return {last - steps.begin() + 1, static_cast<std::uint8_t>(flags(*last))};
  }

  MpmParams params_;
  Queue queue_;
  std::int64_t most_batch_steps_;
  Buffer<int> flags_;  // zero, then a word per step of a batch
  Buffer<T> tiles_, grid_v_;
  Buffer<double> gravity_, drag_;  // partial sums of each step of a batch
  Buffer<StepSums> sums_;
};

}  // namespace diffmpm::cuda
