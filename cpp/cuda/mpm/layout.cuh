// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>

#include "core/block.cuh"
#include "core/search.cuh"
#include "diffmpm/core/memory.hpp"
#include "mpm/step_view.cuh"

// Sorts particles on the device into the order, blocks and connections of cpp/src/mpm/layout.cpp. Only the numbers of blocks and
// groups are copied to the host, for allocations.

namespace diffmpm::cuda {

// Owns the arrays of a LayoutView.
struct DeviceLayout {
  Buffer<Index> ids, neighbors, sources, chunk_ends;
  Buffer<ParticleBlock> blocks;
  Buffer<Chunk> chunks;
  Buffer<GridBlock> grid;
  LayoutView view{};
  std::int64_t groups = 0;

  std::int64_t group_count() const { return groups; }
  std::int64_t chunk_count() const { return view.chunk_count; }
  std::int64_t grid_count() const { return view.grid_count; }
};

// Most groups per chunk: few enough for a small body to fill a device, and enough for tiles not to cost more than particles. It
// depends on the number of particles alone, so sums have the same order on every device.
inline std::int64_t most_chunk_groups(std::int64_t particles) {
  return std::clamp<std::int64_t>(particles / 1024 / kLanes, 8, 64);
}

template <class T>
struct CellKeys {
  std::int64_t count;
  StepConstants<T> c;
  Basis basis;
  BlockPacking packing;
  const T* x;
  std::uint64_t* keys;
  Index* particles;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    keys[n] = cell_key(c, basis, packing, x + 3 * n), particles[n] = static_cast<Index>(n);
  }
};

// One where a run of equal keys begins; the lowest `shift` bits are ignored.
struct RunHeads {
  std::int64_t count;
  int shift;
  const std::uint64_t* keys;
  Index* heads;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    heads[n] = n == 0 || keys[n] >> shift != keys[n - 1] >> shift ? 1 : 0;
  }
};

// Start of each run, and the end of the last one, from the running sum of the heads.
struct RunStarts {
  std::int64_t count;
  const Index* rank;
  Index* starts;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    if (n == 0 || rank[n] != rank[n - 1]) starts[rank[n] - 1] = static_cast<Index>(n);
    if (n == count - 1) starts[rank[n]] = static_cast<Index>(count);
  }
};

struct BlockGroups {
  std::int64_t count;
  const Index* starts;
  Index* groups;

  DIFFMPM_HD void operator()(std::int64_t b) const { groups[b] = (starts[b + 1] - starts[b] + kLanes - 1) / kLanes; }
};

struct BlockChunks {
  std::int64_t count;
  const ParticleBlock* blocks;
  Index most_groups;
  Index* chunks;

  DIFFMPM_HD void operator()(std::int64_t b) const {
    chunks[b] = (blocks[b].group_count + most_groups - 1) / most_groups;
  }
};

struct FillChunks {
  std::int64_t count;
  const ParticleBlock* blocks;
  const Index* ends;
  Chunk* chunks;

  DIFFMPM_HD void operator()(std::int64_t b) const {
    const ParticleBlock& block = blocks[b];
    const Index first = b == 0 ? 0 : ends[b - 1], parts = ends[b] - first;
    const auto begin = [&](Index part) { return static_cast<Index>(std::int64_t{block.group_count} * part / parts); };
    for (Index part = 0; part < parts; ++part) {
      Chunk& chunk = chunks[first + part];
      chunk.particles = block, chunk.block = static_cast<Index>(b);
      chunk.particles.first_group += begin(part), chunk.particles.group_count = begin(part + 1) - begin(part);
      const Index left = block.particle_count - begin(part) * kLanes, most = chunk.particles.group_count * kLanes;
      chunk.particles.particle_count = left < most ? left : most;
    }
  }
};

struct FillBlocks {
  std::int64_t count;
  BlockPacking packing;
  const std::uint64_t* keys;
  const Index *starts, *group_ends;
  ParticleBlock* blocks;

  DIFFMPM_HD void operator()(std::int64_t b) const {
    ParticleBlock& out = blocks[b];
    out.first_group = b == 0 ? 0 : group_ends[b - 1];
    out.group_count = group_ends[b] - out.first_group;
    out.particle_count = starts[b + 1] - starts[b];
    packing.unpack(keys[starts[b]] >> kCellBits, out.coord);
  }
};

// Particle of each lane; the last particle of a block fills its padding.
struct FillIds {
  std::int64_t count;
  const Index *particles, *rank, *starts;
  const ParticleBlock* blocks;
  Index* ids;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    const Index b = rank[n] - 1, at = static_cast<Index>(n) - starts[b];
    Index* out = ids + std::int64_t{blocks[b].first_group} * kLanes;
    out[at] = particles[n];
    if (at + 1 < blocks[b].particle_count) return;
    for (Index lane = at + 1; lane < blocks[b].group_count * kLanes; ++lane) out[lane] = ~particles[n];
  }
};

struct NeighborKeys {
  std::int64_t count;  // blocks times directions
  BlockPacking packing;
  const ParticleBlock* blocks;
  std::uint64_t* keys;
  Index* unused;  // values of the sort

  DIFFMPM_HD void operator()(std::int64_t n) const {
    Index coord[3];
    neighbor_coord(blocks[n / kDirections].coord, static_cast<int>(n % kDirections), coord);
    keys[n] = packing.pack(coord), unused[n] = 0;
  }
};

struct FillGrid {
  std::int64_t count;
  BlockPacking packing;
  const std::uint64_t* sorted;
  const Index* starts;
  std::uint64_t* keys;
  GridBlock* grid;
  Index* sources;

  DIFFMPM_HD void operator()(std::int64_t g) const {
    keys[g] = sorted[starts[g]];
    packing.unpack(keys[g], grid[g].coord);
    for (int d = 0; d < kDirections; ++d) sources[g * kDirections + d] = -1;
  }
};

struct Connect {
  std::int64_t count;  // blocks times directions
  BlockPacking packing;
  const ParticleBlock* blocks;
  const std::uint64_t* keys;  // of the grid, ascending
  Index grid_count;
  Index *neighbors, *sources;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    const int d = static_cast<int>(n % kDirections);
    Index coord[3];
    neighbor_coord(blocks[n / kDirections].coord, d, coord);
    const Index first = lower_bound(keys, grid_count, packing.pack(coord));
    neighbors[n] = first;
    sources[std::int64_t{first} * kDirections + opposite(d)] = static_cast<Index>(n / kDirections);
  }
};

// Runs of equal keys: their number, the run of each key (from 1), and the start of each run.
struct Runs {
  Index count;
  Buffer<Index> rank, starts;
};

template <class Queue>
Runs find_runs(Queue& queue, const std::uint64_t* keys, std::int64_t count, int shift) {
  Runs runs{};
  runs.rank = queue.template allocate<Index>(count);
  queue.for_all(RunHeads{count, shift, keys, runs.rank.data()});
  queue.inclusive_sum(runs.rank.data(), count);
  queue.to_host(&runs.count, runs.rank.data() + count - 1, 1);
  runs.starts = queue.template allocate<Index>(runs.count + 1);
  queue.for_all(RunStarts{count, runs.rank.data(), runs.starts.data()});
  return runs;
}

template <class Queue>
void connect(Queue& queue, const BlockPacking& packing, DeviceLayout& layout) {
  const ParticleBlock* blocks = layout.blocks.data();
  const std::int64_t pairs = static_cast<std::int64_t>(layout.blocks.size()) * kDirections;
  const auto sorted = queue.template allocate<std::uint64_t>(pairs);
  const auto unused = queue.template allocate<Index>(pairs);
  queue.for_all(NeighborKeys{pairs, packing, blocks, sorted.data(), unused.data()});
  queue.sort_pairs(sorted.data(), unused.data(), pairs, packing.total_bits());
  const Runs runs = find_runs(queue, sorted.data(), pairs, 0);
  const auto keys = queue.template allocate<std::uint64_t>(runs.count);
  layout.grid = queue.template allocate<GridBlock>(runs.count);
  layout.sources = queue.template allocate<Index>(std::int64_t{runs.count} * kDirections);
  layout.neighbors = queue.template allocate<Index>(pairs);
  queue.for_all(FillGrid{runs.count, packing, sorted.data(), runs.starts.data(), keys.data(), layout.grid.data(),
                         layout.sources.data()});
  queue.for_all(
      Connect{pairs, packing, blocks, keys.data(), runs.count, layout.neighbors.data(), layout.sources.data()});
  layout.view.grid_count = runs.count;
}

// Sorts `count` particles at x (count, 3), all inside the grid. Stable.
template <class T, class Queue>
DeviceLayout make_device_layout(Queue& queue, const MpmParams& params, const T* x, std::int64_t count) {
  DeviceLayout layout;
  if (count == 0) return layout;
  BlockPacking packing{};
  for (int r = 0; r < 3; ++r) {
    packing.low[r] = -1;
    packing.bits[r] = std::bit_width(static_cast<unsigned>(params.dims[r] / kBlockEdge + 2));
  }
  const auto keys = queue.template allocate<std::uint64_t>(count);
  const auto particles = queue.template allocate<Index>(count);
  queue.for_all(CellKeys<T>{count, step_constants<T>(params), params.basis, packing, x, keys.data(), particles.data()});
  queue.sort_pairs(keys.data(), particles.data(), count, kCellBits + packing.total_bits());
  const Runs runs = find_runs(queue, keys.data(), count, kCellBits);
  const auto group_ends = queue.template allocate<Index>(runs.count);
  queue.for_all(BlockGroups{runs.count, runs.starts.data(), group_ends.data()});
  queue.inclusive_sum(group_ends.data(), runs.count);
  layout.blocks = queue.template allocate<ParticleBlock>(runs.count);
  queue.for_all(
      FillBlocks{runs.count, packing, keys.data(), runs.starts.data(), group_ends.data(), layout.blocks.data()});
  layout.chunk_ends = queue.template allocate<Index>(runs.count);
  const auto most_groups = static_cast<Index>(most_chunk_groups(count));
  queue.for_all(BlockChunks{runs.count, layout.blocks.data(), most_groups, layout.chunk_ends.data()});
  queue.inclusive_sum(layout.chunk_ends.data(), runs.count);

  const auto totals = queue.template allocate<Index>(2);
  queue.copy(totals.data(), group_ends.data() + runs.count - 1, 1);
  queue.copy(totals.data() + 1, layout.chunk_ends.data() + runs.count - 1, 1);
  Index sizes[2];
  queue.to_host(sizes, totals.data(), 2);
  layout.groups = sizes[0], layout.view.chunk_count = sizes[1];
  layout.ids = queue.template allocate<Index>(layout.groups * kLanes);
  layout.chunks = queue.template allocate<Chunk>(layout.view.chunk_count);
  queue.for_all(
      FillIds{count, particles.data(), runs.rank.data(), runs.starts.data(), layout.blocks.data(), layout.ids.data()});
  queue.for_all(FillChunks{runs.count, layout.blocks.data(), layout.chunk_ends.data(), layout.chunks.data()});
  connect(queue, packing, layout);
  layout.view.ids = layout.ids.data();
  layout.view.chunks = layout.chunks.data(), layout.view.chunk_ends = layout.chunk_ends.data();
  layout.view.grid = layout.grid.data();
  layout.view.neighbors = layout.neighbors.data(), layout.view.sources = layout.sources.data();
  return layout;
}

}  // namespace diffmpm::cuda
