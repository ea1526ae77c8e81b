// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

#include "diffmpm/core/random.hpp"
#include "diffmpm/mpm/trajectory.hpp"
#include "mpm/backend.cuh"

// Speed of the simulation on a device in float32: particle-steps per second, and the time, bytes and arithmetic of each kernel.
// The workload is that of step.py: a jittered cube with 8 particles per cell or another number, fixed corotated.

namespace diffmpm::benchmark {

// Cost of a pass, counted from its source: float32 values read and written per particle, passes over a tile (per chunk) and a
// grid block, and operations per stencil node and per particle otherwise. A fused multiply-add counts as two.
struct Pass {
  const char* name;
  double values, tiles, grids, node_flops, particle_flops;
};

inline constexpr int kPasses = 7, kForwardPasses = 3;
inline constexpr Pass kPass[kPasses] = {
    {"particles to tiles", 28, 1, 0, 40, 500},
    {"tiles to grid", 0, 1, 2, 0, 0},
    {"grid to particles", 36, 0.75, 0, 21, 150},
    {"grid velocity", 0, 0, 2, 0, 0},
    {"grid to particles, adjoint", 69, 1.75, 0, 60, 300},
    {"tiles to grid, adjoint", 0, 1, 2, 0, 0},
    {"particles to tiles, adjoint", 81, 1, 0, 66, 1500},
};

// Index of a kernel in kPass, or -1.
template <class Kernel>
inline constexpr int kPassOf = -1;
template <class T, Basis B>
inline constexpr int kPassOf<cuda::UnlessStopped<cuda::ParticlesToTiles<T, B>>> = 0;
template <class T, Basis B>
inline constexpr int kPassOf<cuda::UnlessStopped<cuda::TilesToGrid<T, B>>> = 1;
template <class T, Basis B>
inline constexpr int kPassOf<cuda::UnlessStopped<cuda::GridToParticles<T, B>>> = 2;
template <class T, Basis B>
inline constexpr int kPassOf<cuda::UnlessStopped<cuda::GridVelocity<T, B>>> = 3;
template <class T, Basis B>
inline constexpr int kPassOf<cuda::UnlessStopped<cuda::GridToParticlesVjp<T, B>>> = 4;
template <class T, Basis B>
inline constexpr int kPassOf<cuda::UnlessStopped<cuda::TilesToGridVjp<T, B>>> = 5;
template <class T, Basis B>
inline constexpr int kPassOf<cuda::UnlessStopped<cuda::ParticlesToTilesVjp<T, B>>> = 6;

struct KernelTime {
  double seconds = 0;
  std::int64_t launches = 0;
  double each() const { return seconds / static_cast<double>(std::max<std::int64_t>(launches, 1)); }
};
using KernelTimes = std::array<KernelTime, kPasses>;

// A queue that measures the time of each pass.
template <class Queue, class Clock>
class TimedQueue : public Queue {
 public:
  TimedQueue(Queue queue, Clock* clock, KernelTimes* times) : Queue(std::move(queue)), clock_(clock), times_(times) {}

  template <class Kernel>
  void launch(std::int64_t blocks, const typename Kernel::Args& args) {
    clock_->start();
    Queue::template launch<Kernel>(blocks, args);
    const double seconds = clock_->stop();
    if constexpr (kPassOf<Kernel> >= 0) {
      KernelTime& time = (*times_)[kPassOf<Kernel>];
      time.seconds += seconds, ++time.launches;
    }
  }
  template <class Body>
  void batch(const Body& body) {
    body();
  }

 private:
  Clock* clock_;
  KernelTimes* times_;
};

// A cube of cells, with particles on a jittered lattice that moves by `drift` cells along each axis.
struct Body {
  int cells = 50, steps = 64, per_cell = 8;
  double drift = 0;

  int edge() const { return static_cast<int>(std::lround(cells * std::cbrt(per_cell))); }
};

// The arrays of the workload, in the memory of the queue.
template <class Queue>
class Workload {
 public:
  MpmParams params;
  RolloutInput<float> in;

  Workload(Queue& queue, Basis basis, const Body& body) {
    const int edge = body.edge();
    const double spacing = static_cast<double>(body.cells) / edge;
    params.basis = basis, params.dx = 1, params.dt = 2e-3, params.drag = 0.5, params.gravity[1] = -9.8;
    params.boundary = Boundary::separate, params.boundary_nodes = 3;
    for (int r = 0; r < 3; ++r) params.origin[r] = 0, params.dims[r] = body.cells + 32;
    in.count = std::int64_t{edge} * edge * edge, in.steps = body.steps;
    const auto array = [&](std::int64_t width, const auto& value) {
      std::vector<float> host(static_cast<std::size_t>(in.count * width));
      for (std::size_t n = 0; n < host.size(); ++n) host[n] = static_cast<float>(value(n));
      buffers_.push_back(queue.template allocate<float>(in.count * width));
      queue.from_host(buffers_.back().data(), host.data(), in.count * width);
      return static_cast<const float*>(buffers_.back().data());
    };
    const auto noise = [](std::uint64_t stream) {
      return [stream](std::size_t n) { return 2 * random_uniform(0, n, stream) - 1; };
    };
    const auto noisy_identity = [&](double scale) {
      return [=, values = noise(3)](std::size_t n) { return (n % 9 % 4 == 0 ? 1 : 0) + scale * values(n); };
    };
    in.x = array(3, [&](std::size_t n) {
      const auto row = static_cast<std::size_t>(edge), p = n / 3;
      const std::size_t at[3] = {p / row / row, p / row % row, p % row};
      return 16 + spacing * (static_cast<double>(at[n % 3]) + 0.5 + 0.4 * noise(0)(n));
    });
    const double velocity = body.drift / (params.dt * body.steps);
    in.v = array(3, [&](std::size_t n) { return velocity + 0.8 * noise(1)(n); });
    in.C = array(9, [&](std::size_t n) { return 0.15 * noise(2)(n); });
    in.F = array(9, noisy_identity(0.05));
    in.mass = array(1, [](std::size_t) { return 1.0; }),
    in.volume = array(1, [&](std::size_t) { return 1.0 / body.per_cell; });
    in.lam = array(1, [](std::size_t) { return 577.0; }), in.mu = array(1, [](std::size_t) { return 385.0; });
    adjoint_ = array(3, noise(4));
    buffers_.push_back(queue.template allocate<float>(in.count * 9));
    gradient_ = buffers_.back().data();
  }

  // Runs the steps and, if requested, their adjoint.
  template <class AnyQueue>
  void run(const AnyQueue& queue, bool backward) {
    RolloutInput<float> input = in;
    input.differentiable = backward, input.memory_budget = std::size_t{1} << 40;
    Trajectory<cuda::DeviceBackend<float, AnyQueue>> roll(params, input, {params, queue});
    if (!backward) return;
    StateAdjoint<float> end;
    end.layer = in.steps, end.x = adjoint_;
    RolloutGradients<float> out;
    out.F = gradient_;
    roll.vjp({end}, out);
  }

 private:
  std::vector<Buffer<float>> buffers_;
  const float* adjoint_;
  float* gradient_;
};

// Sizes of the data of a step.
struct Sizes {
  double particles, chunks, grid;
  Basis basis;

  double bytes(const Pass& pass) const {
    const double tile = static_cast<double>(basis == Basis::cubic ? TileShape<Basis::cubic>::kSize
                                                                  : TileShape<Basis::quadratic>::kSize);
    return sizeof(float) * (pass.values * particles + pass.tiles * tile * chunks + pass.grids * kGridBlockSize * grid);
  }
  double flops(const Pass& pass) const {
    return (pass.node_flops * (basis == Basis::cubic ? 64 : 27) + pass.particle_flops) * particles;
  }
};

struct Report {
  double copy_bandwidth;  // bytes per second, read and written
  double forward, both;   // particle-steps per second
  KernelTimes times;
  Sizes sizes;
};

template <class Queue, class Clock>
double copy_bandwidth(Queue& queue, Clock& clock, std::int64_t bytes) {
  const Buffer<float> from = queue.template allocate<float>(bytes / 4), to = queue.template allocate<float>(bytes / 4);
  queue.clear(from.data(), bytes / 4);
  double best = 0;
  for (int n = 0; n < 5; ++n) {
    clock.start();
    queue.copy(to.data(), from.data(), bytes / 4);
    best = std::max(best, 2 * static_cast<double>(bytes) / clock.stop());
  }
  return best;
}

template <class Queue, class Clock>
Report measure(Queue queue, Clock clock, Basis basis, const Body& body, std::int64_t copy_bytes) {
  Report report{};
  report.copy_bandwidth = copy_bandwidth(queue, clock, copy_bytes);
  Workload<Queue> workload(queue, basis, body);
  const cuda::DeviceLayout layout =
      cuda::DeviceBackend<float, Queue>(workload.params, queue).make_layout(workload.in.x, workload.in.count);
  report.sizes = {static_cast<double>(workload.in.count), static_cast<double>(layout.chunk_count()),
                  static_cast<double>(layout.grid_count()), basis};
  const auto rate = [&](bool backward) {
    std::vector<double> seconds;
    for (int n = 0; n < 4; ++n) {  // the first warms up
      clock.start();
      workload.run(queue, backward);
      seconds.push_back(clock.stop());
    }
    std::sort(seconds.begin() + 1, seconds.end());
    return static_cast<double>(workload.in.count * body.steps) / seconds[2];
  };
  report.forward = rate(false), report.both = rate(true);
  workload.run(TimedQueue<Queue, Clock>(queue, &clock, &report.times), true);
  return report;
}

inline void print(const Report& r) {
  std::printf("%s, %.0f particles: %.1f million particle-steps/s forward, %.1f forward + backward\n",
              r.sizes.basis == Basis::cubic ? "cubic" : "quadratic", r.sizes.particles, r.forward / 1e6, r.both / 1e6);
  std::printf("%-28s %10s %9s %9s %9s %9s\n", "kernel, separately", "time [us]", "MB", "GB/s", "of copy", "GFLOP/s");
  for (int n = 0; n < kPasses; ++n) {
    const double seconds = r.times[static_cast<std::size_t>(n)].each(), bytes = r.sizes.bytes(kPass[n]);
    std::printf("%-28s %10.1f %9.2f %9.1f %8.1f%% %9.1f\n", kPass[n].name, 1e6 * seconds, bytes / 1e6,
                bytes / seconds / 1e9, 100 * bytes / seconds / r.copy_bandwidth,
                r.sizes.flops(kPass[n]) / seconds / 1e9);
  }
}

}  // namespace diffmpm::benchmark
