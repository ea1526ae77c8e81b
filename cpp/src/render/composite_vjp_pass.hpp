// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "reduce.hpp"
#include "scratch.hpp"

// Adjoint of the compositing, parallel over tiles. Entries are processed back to front, each in the cells that it reaches. The sums
// of an entry over the pixels of the tile go to its own slot, so that threads never write to the same memory and results do not
// depend on their number.

DIFFMPM_BEGIN_ISA

inline constexpr std::uint32_t kSlotRounds = 64;  // of SparsePoll, per scattered slot

// Planes of TileScratch::state in the backward pass.
enum AdjointPlane { kTransmittance, kBehind, kEnd };

// Sums of one entry: moments, then the adjoints of its channels.
template <class T, int kChannels>
struct EntrySums {
  static constexpr int kWidth = Pack<T>::kWidth;
  static constexpr int kCount = kMoments + (kChannels > 0 ? kChannels : 0);
  static constexpr int kPadded = (kCount + kWidth - 1) / kWidth * kWidth;
  Pack<T> v[kPadded];
};

template <class T, int kChannels>
DIFFMPM_INLINE void accumulate_pack(const TileScratch<T>& s, int channels, std::int64_t at, const T* entry,
                                    EntrySums<T, kChannels>& sums) {
  using P = Pack<T>;
  P u, v;
  const P exponent = entry_exponent(entry, P::load(s.lane_x + at), P::load(s.lane_y + at), u, v);
  const P never(T(2 * kLog2AlphaMin));
  const P alpha = splat_alpha(select(P::load(s.plane(kEnd) + at) > P(entry[kPosition]), exponent, never));
  P adj_weight(T(0));
  if constexpr (kChannels > 0) {
    DIFFMPM_UNROLL
    for (int k = 0; k < kChannels; ++k)
      adj_weight = vfma(P::load(s.pixels + k * kTilePixels + at), P(entry[kUnpacked + k]), adj_weight);
  } else {
    for (int k = 0; k < channels; ++k)
      adj_weight = vfma(P::load(s.pixels + k * kTilePixels + at), P(entry[kUnpacked + k]), adj_weight);
  }
  PixelAdjoint<P> pixel = {P::load(s.plane(kTransmittance) + at), P::load(s.plane(kBehind) + at)};
  P weight;
  const P adj_alpha = composite_vjp(alpha, adj_weight, pixel, weight);
  pixel.transmittance.store(s.plane(kTransmittance) + at), pixel.behind.store(s.plane(kBehind) + at);
  add_moments(splat_alpha_vjp(alpha, adj_alpha), u, v, sums.v);
  if constexpr (kChannels > 0) {
    DIFFMPM_UNROLL
    for (int k = 0; k < kChannels; ++k)
      sums.v[kMoments + k] = vfma(weight, P::load(s.pixels + k * kTilePixels + at), sums.v[kMoments + k]);
  } else {
    for (int k = 0; k < channels; ++k) {
      T* out = s.sums + k * P::kWidth;
      vfma(weight, P::load(s.pixels + k * kTilePixels + at), P::load(out)).store(out);
    }
  }
}

template <class T, int kChannels>
void store_sums(const TileScratch<T>& s, int channels, EntrySums<T, kChannels>& sums, T* out) {
  using P = Pack<T>;
  alignas(64) T values[EntrySums<T, kChannels>::kPadded];
  DIFFMPM_UNROLL
  for (int n = 0; n < EntrySums<T, kChannels>::kPadded; n += P::kWidth) store_lane_sums(sums.v + n, values + n);
  std::copy_n(values, EntrySums<T, kChannels>::kCount, out);
  if constexpr (kChannels == 0) {
    for (int k = 0; k < channels; k += P::kWidth) {
      P group[P::kWidth];
      for (int n = 0; n < P::kWidth; ++n) group[n] = k + n < channels ? P::load(s.sums + (k + n) * P::kWidth) : P(T(0));
      store_lane_sums(group, values);
      std::copy_n(values, std::min(channels - k, P::kWidth), out + kMoments + k);
    }
  }
}

template <class T, int kChannels>
void entry_vjp(const TileScratch<T>& s, int channels, unsigned cells, const T* entry, T* out) {
  constexpr int kPacks = kCellPixels / Pack<T>::kWidth;
  EntrySums<T, kChannels> sums;
  DIFFMPM_UNROLL
  for (int n = 0; n < EntrySums<T, kChannels>::kPadded; ++n) sums.v[n] = Pack<T>(T(0));
  if constexpr (kChannels == 0) std::fill_n(s.sums, channels * Pack<T>::kWidth, T(0));
  for (; cells; cells &= cells - 1) {
    std::int64_t at = std::countr_zero(cells) * kCellPixels;
    for (int p = 0; p < kPacks; ++p, at += Pack<T>::kWidth) accumulate_pack<T, kChannels>(s, channels, at, entry, sums);
  }
  store_sums(s, channels, sums, out);
}

// Loads the cotangents of the pixels of a tile, and their state behind the last entry.
template <class T>
void load_tile(const ViewArgs<T>& a, const ViewAdjointArgs<T>& adj, const Tile& tile, const TileScratch<T>& s) {
  const int channels = a.channels - 1;
  const T* background = camera_background(a);
  std::copy_n(a.transmittance + tile.index * kTilePixels, kTilePixels, s.plane(kTransmittance));
  std::copy_n(a.end + tile.index * kTilePixels, kTilePixels, s.plane(kEnd));
  std::fill_n(s.plane(kBehind), kTilePixels, T(0));
  std::fill_n(s.pixels, a.channels * kTilePixels, T(0));
  for (int r = 0; r < tile.rows; ++r) {
    const std::int64_t row = row_begin(a, tile, r);
    for (int c = 0; c < tile.columns; ++c) {
      const int at = pixel_index(r, c);
      T behind = adj.alpha ? -adj.alpha[row + c] : T(0);
      if (adj.color) {
        const T* color = adj.color + (row + c) * channels;
        for (int k = 0; k < channels; ++k) {
          s.pixels[k * kTilePixels + at] = color[k];
          if (background) behind += color[k] * background[k];
        }
      }
      if (adj.depth) s.pixels[channels * kTilePixels + at] = adj.depth[row + c];
      s.plane(kBehind)[at] = behind * s.plane(kTransmittance)[at];
    }
  }
}

// Contribution of a tile to the adjoint of the background.
template <class T>
void background_vjp(const ViewArgs<T>& a, const Tile& tile, const TileScratch<T>& s, double* out) {
  for (int k = 0; k < a.channels - 1; ++k) {
    double sum = 0;
    for (int n = 0; n < kTilePixels; ++n)
      sum += double(s.plane(kTransmittance)[n]) * double(s.pixels[k * kTilePixels + n]);
    out[tile.index * (a.channels - 1) + k] = sum;
  }
}

template <class T, int kChannels>
void composite_tile_vjp(const ViewArgs<T>& a, const ViewAdjointArgs<T>& adj, const Tile& tile,
                        const TileScratch<T>& s) {
  const int width = kMoments + a.channels;
  std::uint32_t cell_end[kCells], tile_end = 0;
  for (int cell = 0; cell < kCells; ++cell) {
    const T* ends = s.plane(kEnd) + cell * kCellPixels;
    cell_end[cell] = static_cast<std::uint32_t>(*std::max_element(ends, ends + kCellPixels));
    tile_end = std::max(tile_end, cell_end[cell]);
  }
  SparsePoll sparse_poll;
  for (std::uint32_t n = tile.begin + tile_end; n < tile.end; ++n, sparse_poll(kSlotRounds))
    std::fill_n(adj.sums + static_cast<std::int64_t>(a.entries[n].slot) * width, width, T(0));
  while (tile_end > 0) {
    const std::uint32_t first = (tile_end - 1) / kEntryChunk * kEntryChunk;
    poll();
    unpack_entries(a, tile, tile.begin + first, static_cast<int>(tile_end - first), s);
    for (std::uint32_t n = tile_end; n-- > first;) {
      const TileEntry& entry = a.entries[tile.begin + n];
      unsigned cells = entry.cells;
      for (int cell = 0; cell < kCells; ++cell) cells &= ~(static_cast<unsigned>(n >= cell_end[cell]) << cell);
      entry_vjp<T, kChannels>(s, a.channels, cells, s.entries + (n - first) * s.stride,
                              adj.sums + static_cast<std::int64_t>(entry.slot) * width);
    }
    tile_end = first;
  }
}

template <class T, int kChannels>
void composite_vjp_pass(const ViewArgs<T>& a, const ViewAdjointArgs<T>& adj) {
  for_each_tile(a, [&](const TileScratch<T>& s, const Tile& tile) {
    if (tile.begin == tile.end && !adj.tile_background) return;
    load_tile(a, adj, tile, s);
    if (adj.tile_background) background_vjp(a, tile, s, adj.tile_background);
    if (tile.begin < tile.end) composite_tile_vjp<T, kChannels>(a, adj, tile, s);
  });
}

DIFFMPM_END_ISA
