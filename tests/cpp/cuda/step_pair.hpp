// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend.hpp"
#include "cuda/emulation.hpp"
#include "kernels.hpp"
#include "layout.hpp"
#include "mpm/adjoint.cuh"
#include "mpm/layout.cuh"
#include "mpm/scene.hpp"

// One step of a scene, with the CPU passes and with the CUDA kernels.

namespace diffmpm::testing {

// Arrays of a step besides the scene.
struct StepOptions {
  bool rest_state = false, control = true, motion = false, mass_only = false;
};

template <class T>
struct StepData {
  std::vector<T> state, next, properties, tiles, grid_mq, grid_v, adj, adj_properties, adj_control;
  std::vector<double> adj_gravity, adj_drag;
  std::vector<std::uint8_t> flags;

  int all_flags() const {
    int all = 0;
    for (const std::uint8_t flag : flags) all |= flag;
    return all;
  }
};

template <class T>
class StepPair {
 public:
  MpmParams params;
  Scene<T> scene;
  StepOptions options;
  Layout layout;
  std::vector<cuda::Chunk> chunks;
  std::vector<Index> chunk_ends;
  int components, property_components;
  StepData<T> cpu, device;
  int device_flags = 0, no_flags = 0;

  // Chunks have up to `most_groups` groups.
  StepPair(const MpmParams& p, const StepOptions& o, std::int64_t particles = 1500, Index most_groups = 3)
      : params(p),
        scene(particles, 1),
        options(o),
        layout(make_layout(params, scene.x.data(), scene.count)),
        components(o.motion ? kStateComponentsG : kStateComponents),
        property_components(o.rest_state ? kPropertyComponentsFp : kPropertyComponents) {
    const auto lanes = layout.ids.size(), blocks = layout.blocks.size(), grid = layout.grid.size();
    const auto state_size = lanes * static_cast<std::size_t>(components);
    const auto const_size = lanes * static_cast<std::size_t>(property_components);
    cpu.state.resize(state_size), cpu.next.resize(state_size), cpu.adj.resize(state_size);
    cpu.properties.resize(const_size), cpu.adj_properties.resize(const_size);
    cpu.adj_control.resize(scene.size(9));
    cpu.tiles.resize(blocks * static_cast<std::size_t>(isa_table<Kernels<T>>().tile_size(params.basis)));
    cpu.grid_mq.resize(grid * kGridBlockSize), cpu.grid_v.resize(grid * kGridBlockSize);
    cpu.adj_gravity.resize(grid * 3), cpu.adj_drag.resize(blocks), cpu.flags.resize(blocks);
    fill();
    device = cpu;
    const auto block_count = static_cast<std::int64_t>(blocks);
    chunk_ends.resize(blocks);
    EmulatedQueue queue;
    queue.for_all(cuda::BlockChunks{block_count, layout.blocks.data(), most_groups, chunk_ends.data()});
    queue.inclusive_sum(chunk_ends.data(), block_count);
    chunks.resize(static_cast<std::size_t>(chunk_ends.back()));
    queue.for_all(cuda::FillChunks{block_count, layout.blocks.data(), chunk_ends.data(), chunks.data()});
    device.tiles.resize(chunks.size() * tile_size());
    device.adj_gravity.resize((grid + 1) / 2 * 3), device.adj_drag.resize(chunks.size());
  }

  std::size_t tile_size() const { return static_cast<std::size_t>(isa_table<Kernels<T>>().tile_size(params.basis)); }
  // Device tiles, summed over the chunks of each block.
  std::vector<T> device_tiles() const {
    std::vector<T> out(layout.blocks.size() * tile_size());
    for (std::size_t chunk = 0; chunk < chunks.size(); ++chunk)
      for (std::size_t n = 0; n < tile_size(); ++n)
        out[static_cast<std::size_t>(chunks[chunk].block) * tile_size() + n] += device.tiles[chunk * tile_size() + n];
    return out;
  }

  StepArgs<T> args() {
    StepArgs<T> a;
    a.params = &params, a.layout = &layout, a.state_components = components;
    a.rest_state = options.rest_state, a.mass_only = options.mass_only;
    a.properties = cpu.properties.data(), a.state = cpu.state.data(), a.next = cpu.next.data();
    a.control = options.control ? scene.control.data() : nullptr;
    a.tiles = cpu.tiles.data(), a.grid_mq = cpu.grid_mq.data(), a.grid_v = cpu.grid_v.data();
    a.adj = cpu.adj.data(), a.adj_properties = cpu.adj_properties.data();
    a.adj_control = options.control ? cpu.adj_control.data() : nullptr;
    a.adj_gravity = cpu.adj_gravity.data(), a.adj_drag = cpu.adj_drag.data(), a.flags = cpu.flags.data();
    return a;
  }

  cuda::StepView<T> view() {
    cuda::StepView<T> a{};
    a.c = step_constants<T>(params);
    a.layout = {layout.ids.data(),
                chunks.data(),
                layout.grid.data(),
                layout.neighbors.data()->data(),
                layout.sources.data()->data(),
                chunk_ends.data(),
                static_cast<Index>(chunks.size()),
                static_cast<Index>(layout.grid.size())};
    a.state_components = components, a.rest_state = options.rest_state, a.mass_only = options.mass_only;
    a.properties = device.properties.data(), a.state = device.state.data(), a.next = device.next.data();
    a.control = options.control ? scene.control.data() : nullptr;
    a.tiles = device.tiles.data(), a.grid_mq = device.grid_mq.data(), a.grid_v = device.grid_v.data();
    a.adj = device.adj.data(), a.adj_properties = device.adj_properties.data();
    a.adj_control = options.control ? device.adj_control.data() : nullptr;
    a.adj_gravity = device.adj_gravity.data(), a.adj_drag = device.adj_drag.data();
    a.flags = &device_flags, a.stop = &no_flags;
    return a;
  }

  // Whether items are isolated in shared memory.
  bool isolated = false;

  // Run a pass on chunks, or on pairs of grid blocks.
  template <template <class, Basis> class Kernel>
  void run(bool grid, std::uint64_t seed) {
    const int blocks = static_cast<int>(grid ? (layout.grid.size() + 1) / 2 : chunks.size());
    if (params.basis == Basis::cubic) {
      emulate<Kernel<T, Basis::cubic>>(blocks, view(), seed, isolated);
    } else {
      emulate<Kernel<T, Basis::quadratic>>(blocks, view(), seed, isolated);
    }
  }

  void run_forward(std::uint64_t seed) {
    device_flags = 0;
    run<cuda::ParticlesToTiles>(false, seed);
    run<cuda::TilesToGrid>(true, seed);
    run<cuda::GridToParticles>(false, seed);
  }
  void run_adjoint(std::uint64_t seed) {
    device_flags = 0;
    run<cuda::GridVelocity>(true, seed);
    run<cuda::GridToParticlesVjp>(false, seed);
    run<cuda::TilesToGridVjp>(true, seed);
    run<cuda::ParticlesToTilesVjp>(false, seed);
  }

  // Largest difference of two grouped particle arrays, relative to the largest value, without padding.
  double group_error(const std::vector<T>& a, const std::vector<T>& b) const {
    const std::size_t stride = b.size() / layout.ids.size();
    double worst = 0, scale = 0;
    for (std::size_t n = 0; n < b.size(); ++n) {
      const std::size_t lane = n / (stride * kLanes) * kLanes + n % kLanes;
      if (layout.ids[lane] >= 0) update(a[n], b[n], worst, scale);
    }
    return worst / scale;
  }
  // Largest difference of the totals of two arrays of partial sums with `width` components, relative to the sum of absolute
  // values.
  static double sum_error(const std::vector<double>& a, const std::vector<double>& b, std::size_t width) {
    double worst = 0;
    for (std::size_t r = 0; r < width; ++r) {
      double difference = 0, scale = 0;
      for (std::size_t n = r; n < a.size(); n += width) difference += a[n];
      for (std::size_t n = r; n < b.size(); n += width) difference -= b[n], scale += std::abs(b[n]);
      worst = std::max(worst, std::abs(difference) / scale);
    }
    return worst;
  }
  template <class V>
  static double error(const std::vector<V>& a, const std::vector<V>& b) {
    double worst = 0, scale = 0;
    for (std::size_t n = 0; n < b.size(); ++n) update(a[n], b[n], worst, scale);
    return worst / scale;
  }

 private:
  static void update(double a, double b, double& worst, double& scale) {
    const double difference = std::abs(a - b);
    if (!(difference <= worst)) worst = difference;  // NaN stays
    scale = std::max(scale, std::abs(b));
  }

  void fill() {
    const auto put = [&](const std::vector<T>& in, int width, int first) {
      CpuBackend<T>(params).to_groups(layout, in.data(), width, cpu.state.data(), components, first, false);
    };
    const auto put_constant = [&](const std::vector<T>& in, int width, int first, bool zero_padding) {
      CpuBackend<T>(params).to_groups(layout, in.data(), width, cpu.properties.data(), property_components, first,
                                      zero_padding);
    };
    put(scene.x, 3, kX), put(scene.v, 3, kV), put(scene.C, 9, kC), put(scene.F, 9, kF);
    if (options.motion) put(scene.Fp, 9, kG);
    put_constant(scene.mass, 1, kMass, true), put_constant(scene.volume, 1, kVolume, true);
    put_constant(scene.lam, 1, kLam, false), put_constant(scene.mu, 1, kMu, false);
    if (options.rest_state) put_constant(scene.Fp, 9, kFpInv, false);
    for (std::size_t n = 0; n < cpu.adj.size(); ++n) cpu.adj[n] = T(2 * random_uniform(11, n, 0) - 1);
  }
};

}  // namespace diffmpm::testing
