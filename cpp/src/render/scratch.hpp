// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/math/pack.hpp"
#include "diffmpm/render/composite.hpp"
#include "diffmpm/render/tile.hpp"
#include "kernels.hpp"

#if defined(_OPENMP)
#include <omp.h>
#endif

// Shared by the two compositing passes: scratch memory of a thread, pixels of a tile, and the unpacking of list entries.

DIFFMPM_BEGIN_ISA

inline int thread_index() {
#if defined(_OPENMP)
  return omp_get_thread_num();
#else
  return 0;
#endif
}

// Values of an unpacked entry before its channels.
enum UnpackedField { kX, kY, kXX, kXY, kYY, kLog2Opacity, kPosition, kUnpacked };

// Scratch memory of a thread; each array starts on a vector boundary.
template <class T>
struct TileScratch {
  T* lane_x;  // (cell, lane): pixel centres relative to the tile [px]
  T* lane_y;
  T* state;    // (state_planes, cell, lane)
  T* pixels;   // (channels, cell, lane): sums in the forward pass, cotangents in the backward pass
  T* sums;     // (kMoments + channels, vector)
  T* entries;  // (kEntryChunk, stride)
  int stride;

  static constexpr int kStatePlanes = 3;
  static constexpr std::int64_t kVector = kPackBytes / static_cast<std::int64_t>(sizeof(T));
  static std::int64_t padded(std::int64_t n) { return (n + 63) / 64 * 64; }
  static int entry_stride(int channels) { return kUnpacked + channels; }
  static std::int64_t size(int channels) {
    return 2 * kTilePixels + kStatePlanes * kTilePixels + channels * kTilePixels +
           padded((kMoments + channels + kVector) * kVector) + padded(kEntryChunk * entry_stride(channels));
  }

  TileScratch(T* memory, int channels) : stride(entry_stride(channels)) {
    lane_x = memory, lane_y = lane_x + kTilePixels, state = lane_y + kTilePixels;
    pixels = state + kStatePlanes * kTilePixels, sums = pixels + channels * kTilePixels;
    entries = sums + padded((kMoments + channels + kVector) * kVector);
    for (int n = 0; n < kTilePixels; ++n) {
      const int cell = n / kCellPixels, lane = n % kCellPixels;
      lane_x[n] = T(cell % kTileCells * kCellEdge + lane % kCellEdge) + T(0.5);
      lane_y[n] = T(cell / kTileCells * kCellEdge + lane / kCellEdge) + T(0.5);
    }
  }
  T* plane(int n) const { return state + n * kTilePixels; }
};

// Index of the pixel (row, column) of a tile in an array (cell, lane).
inline int pixel_index(int row, int column) {
  const int cell = row / kCellEdge * kTileCells + column / kCellEdge;
  return cell * kCellPixels + row % kCellEdge * kCellEdge + column % kCellEdge;
}

inline void prefetch([[maybe_unused]] const void* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p);
#endif
}

// A tile and its list.
struct Tile {
  std::int64_t index;
  int x, y;           // first pixel
  int columns, rows;  // inside of the image
  std::uint32_t begin, end;
};

// Calls visit(scratch, tile) for all tiles, in parallel.
template <class T, class Visit>
void for_each_tile(const ViewArgs<T>& a, const Visit& visit) {
  constexpr std::int64_t kChunk = 4;  // tiles that a thread takes at a time
  const RasterInput<T>& in = *a.input;
  parallel_for_with(
      static_cast<std::int64_t>(a.tiles_x) * a.tiles_y, kChunk, a.threads,
      [&] { return TileScratch<T>(a.scratch + thread_index() * a.scratch_size, a.channels); },
      [&](const TileScratch<T>& s, std::int64_t n) {
        const int x = static_cast<int>(n % a.tiles_x) * kTileEdge, y = static_cast<int>(n / a.tiles_x) * kTileEdge;
        visit(s, Tile{n, x, y, std::min(kTileEdge, in.width - x), std::min(kTileEdge, in.height - y), a.tile_begin[n],
                      a.tile_begin[n + 1]});
      });
}

// Index in the image of the first pixel of a row of a tile.
template <class T>
std::int64_t row_begin(const ViewArgs<T>& a, const Tile& tile, int row) {
  return static_cast<std::int64_t>(tile.y + row) * a.input->width + tile.x;
}

// Background of this camera, or null.
template <class T>
const T* camera_background(const ViewArgs<T>& a) {
  return a.input->backgrounds ? a.input->backgrounds + a.camera * a.input->channels : nullptr;
}

// Copies entries [first, first + count) of the tile into the scratch, with positions relative to the tile.
template <class T>
void unpack_entries(const ViewArgs<T>& a, const Tile& tile, std::uint32_t first, int count, const TileScratch<T>& s) {
  const T* colors = a.input->colors + a.input->color_index(a.camera, 0);
  const int channels = a.channels - 1;
  constexpr int kAhead = 12;  // entries whose processing takes about as long as a cache miss
  for (int n = 0; n < count; ++n) {
    if (n + kAhead < count) {
      const std::uint32_t next = a.entries[first + n + kAhead].gaussian;
      prefetch(a.splats + next), prefetch(colors + static_cast<std::int64_t>(next) * channels);
    }
    const std::uint32_t g = a.entries[first + n].gaussian;
    const Splat<T>& splat = a.splats[g];
    T* out = s.entries + n * s.stride;
    out[kX] = static_cast<T>(splat.x - tile.x), out[kY] = static_cast<T>(splat.y - tile.y);
    out[kXX] = splat.xx, out[kXY] = splat.xy, out[kYY] = splat.yy;
    out[kLog2Opacity] = splat.log2_opacity, out[kPosition] = static_cast<T>(first - tile.begin + n);
    const T* color = colors + static_cast<std::int64_t>(g) * channels;
    for (int k = 0; k < channels; ++k) out[kUnpacked + k] = color[k];
    out[kUnpacked + channels] = splat.depth;
  }
}

// splat_exponent of an unpacked entry at the pixels of a pack.
template <class T>
DIFFMPM_INLINE Pack<T> entry_exponent(const T* entry, Pack<T> x, Pack<T> y, Pack<T>& u, Pack<T>& v) {
  using P = Pack<T>;
  const Whitening<P> w = {P(entry[kXX]), P(entry[kXY]), P(entry[kYY])};
  return splat_exponent(w, P(entry[kLog2Opacity]), x - P(entry[kX]), y - P(entry[kY]), u, v);
}

DIFFMPM_END_ISA
