// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <limits>

#include "core/block.cuh"
#include "core/pairs.cuh"
#include "core/search.cuh"
#include "diffmpm/mpm/params.hpp"
#include "diffmpm/render/splat.hpp"

// Lists of the tiles of all images of a call, by two stable sorts: Gaussians by depth, then their entries by tile. Gaussian n of
// image c has index c N + n, tile t index c tiles + t.

namespace diffmpm::cuda {

inline constexpr int kChannelGroup = 4;  // channels composited in one pass over the list; the last channel is the depth

// A projected Gaussian, aligned for loads of 16 bytes.
template <class T>
struct alignas(16) DeviceSplat {
  double x, y;  // [px]
  Whitening<T> w;
  T log2_opacity;
  T values[kChannelGroup];  // the first channels
};

// Four adjacent values, loaded together.
template <class T>
struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) Quad {
  T v[4];
};

// One Gaussian in one tile. The slots of a Gaussian are contiguous.
struct alignas(8) Slot {
  Index splat;
  std::uint32_t cells;  // mask of the cells of the tile that the ellipse reaches
};

// Arguments common to the kernels of a call.
template <class T>
struct RasterView {
  RasterInput<T> in;  // device arrays; viewmats and intrinsics are not read
  const Camera<double>* cameras;
  int tiles_x, tiles_y;
  const DeviceSplat<T>* splats;  // (C N)
  const T* depths;               // (C N)
  const SplatStatus* status;     // (C N)
  const Index* splat_slots;      // (C N, 2): begin and end of the slots of a Gaussian, in the order of depth
  const Slot* slots;             // (entries)
  const Index* entry_slots;      // (entries): by tile, front to back
  const Index* tile_begin;       // (C tiles + 1)

  DIFFMPM_HD std::int64_t splat_count() const { return in.count * in.cameras; }
  DIFFMPM_HD std::int64_t tiles() const { return std::int64_t{tiles_x} * tiles_y; }
  DIFFMPM_HD std::int64_t pixels() const { return std::int64_t{in.width} * in.height; }
};

// Makes cameras from matrices on the device.
struct MakeCameras {
  std::int64_t count;
  const double *viewmats, *intrinsics;
  int width, height;
  Camera<double>* out;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    out[n] = make_camera<double>(viewmats + 16 * n, intrinsics + 9 * n, width, height);
  }
};

// Counts the invalid cameras among matrices on the device.
struct CountInvalid {
  std::int64_t count;  // 1
  int cameras;
  const double *viewmats, *intrinsics;
  std::int64_t* out;

  DIFFMPM_HD void operator()(std::int64_t) const {
    std::int64_t invalid = 0;
    for (std::int64_t c = 0; c < cameras; ++c) invalid += !is_camera(viewmats + 16 * c, intrinsics + 9 * c);
    *out = invalid;
  }
};

template <class T>
inline constexpr int kDepthBits = 8 * sizeof(T) - 1;  // of a DepthKey, without the sign

template <class T>
struct ProjectSplats {
  std::int64_t count;
  RasterInput<T> in;
  const Camera<double>* cameras;
  DeviceSplat<T>* splats;
  SplatStatus* status;
  Index* hits;
  Pairs<DepthKey<T>> order;  // Gaussians that are not visible come last
  ProjectedArrays<T> projected;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    const int view = static_cast<int>(n / in.count);
    Splat<T> splat;
    SplatStatus result;
    hits[n] = static_cast<Index>(project_row(in, view, cameras[view], n % in.count, projected, n, splat, result));
    splats[n] = with_channels(splat, view, n % in.count), status[n] = result;
    order.keys[n] = depth_key(result == SplatStatus::visible ? splat.depth : std::numeric_limits<T>::infinity());
    order.values[n] = static_cast<Index>(n);
  }

  DIFFMPM_HD DeviceSplat<T> with_channels(const Splat<T>& s, int view, std::int64_t g) const {
    DeviceSplat<T> out = {s.x, s.y, {s.xx, s.xy, s.yy}, s.log2_opacity, {}};
    const T* const color = in.colors + in.color_index(view, g);
    for (int k = 0; k < kChannelGroup; ++k)
      out.values[k] = k < in.channels ? color[k] : k == in.channels ? s.depth : T(0);
    return out;
  }
};

// Numbers of tiles in the order of depth.
struct OrderHits {
  std::int64_t count;
  const Index *order, *hits;
  std::int64_t* ordered;  // 64 bits, because they are summed next and the total may exceed an Index

  DIFFMPM_HD void operator()(std::int64_t m) const { ordered[m] = hits[order[m]]; }
};

template <class T>
struct ListHits {
  std::int64_t count;
  RasterInput<T> in;
  std::int64_t tiles;
  const DeviceSplat<T>* splats;
  const Index* order;
  const std::int64_t* ends;  // inclusive sums of the ordered hits, checked to fit an Index
  Index* splat_slots;
  Slot* slots;
  Pairs<std::uint32_t> entries;  // tile and slot

  DIFFMPM_HD void operator()(std::int64_t m) const {
    const Index n = order[m], begin = m > 0 ? static_cast<Index>(ends[m - 1]) : 0, end = static_cast<Index>(ends[m]);
    splat_slots[2 * std::int64_t{n}] = begin, splat_slots[2 * std::int64_t{n} + 1] = end;
    if (begin == end) return;
    const DeviceSplat<T> splat = splats[n];
    const auto first_tile = static_cast<std::uint32_t>(n / static_cast<Index>(in.count) * tiles);
    Index slot = begin;
    visit_tiles(in, splat_ellipse(splat.w, splat.log2_opacity), splat.x, splat.y,
                [&](std::uint32_t tile, unsigned mask) {
                  slots[slot] = {n, mask};
                  entries.keys[slot] = first_tile + tile, entries.values[slot] = slot;
                  ++slot;
                });
  }
};

// Number of Gaussians of each status.
struct StatusCounts {
  std::int64_t of[kStatusCount];
  DIFFMPM_HD StatusCounts& operator+=(const StatusCounts& o) {
    for (int n = 0; n < kStatusCount; ++n) of[n] += o.of[n];
    return *this;
  }
};

// Count the statuses of an image's Gaussians, kChunk per block.
struct CountSplats {
  static constexpr int kChunk = 4096;
  struct Args {
    std::int64_t count, chunks;  // of an image
    const SplatStatus* status;
    StatusCounts* out;  // (C, chunks)
  };
  struct Shared {
    StatusCounts scratch[kThreads];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const std::int64_t first = block.index() % a.chunks * kChunk, left = a.count - first;
    const SplatStatus* const status = a.status + block.index() / a.chunks * a.count + first;
    fold(block, s.scratch, static_cast<int>(left < kChunk ? left : kChunk), [&](int n) {
      StatusCounts one{};
      for (int k = 0; k < kStatusCount; ++k) one.of[k] = static_cast<int>(status[n]) == k ? 1 : 0;
      return one;
    });
    block.for_each(1, [&](int) { a.out[block.index()] = s.scratch[0]; });
  }
};

// Sum the chunks and count the list entries, one block per image.
struct TotalCounts {
  struct Args {
    std::int64_t chunks, tiles;
    const StatusCounts* counts;
    const Index* tile_begin;
    StatusCounts* statuses;  // (C)
    std::int64_t* entries;   // (C)
  };
  struct Shared {
    StatusCounts scratch[kThreads];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    fold(block, s.scratch, static_cast<int>(a.chunks), [&](int n) { return a.counts[block.index() * a.chunks + n]; });
    block.for_each(1, [&](int) {
      const Index* begin = a.tile_begin + block.index() * a.tiles;
      a.statuses[block.index()] = s.scratch[0], a.entries[block.index()] = begin[a.tiles] - begin[0];
    });
  }
};

// First entry of each tile among the sorted keys.
struct TileBegins {
  std::int64_t count;  // tiles + 1
  const std::uint32_t* keys;
  Index entries;
  Index* begin;

  DIFFMPM_HD void operator()(std::int64_t tile) const {
    begin[tile] = lower_bound(keys, entries, static_cast<std::uint32_t>(tile));
  }
};

}  // namespace diffmpm::cuda
