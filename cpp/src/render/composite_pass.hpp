// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "scratch.hpp"

// Forward compositing, parallel over tiles. The pixels of a cell of 4 x 4 are the lanes of one vector, or of several shorter ones.
// Each cell processes the entries that reach it, front to back, until all its pixels have ended.

DIFFMPM_BEGIN_ISA

// Composites `count` entries of the chunk into a pack of pixels. Returns false once all of them have ended.
template <class T, int kChannels>
bool composite_pack(const TileScratch<T>& s, int channels, std::int64_t at, const std::uint16_t* list, int count) {
  using P = Pack<T>;
  constexpr int kFixed = kChannels > 0 ? kChannels : 1;
  const P x = P::load(s.lane_x + at), y = P::load(s.lane_y + at);
  PixelState<P> pixel = {P::load(s.plane(0) + at), P::load(s.plane(1) + at), P::load(s.plane(2) + at)};
  P sums[kFixed];
  if constexpr (kChannels > 0) {
    DIFFMPM_UNROLL
    for (int k = 0; k < kChannels; ++k) sums[k] = P::load(s.pixels + k * kTilePixels + at);
  }
  for (int n = 0; n < count; ++n) {
    const T* entry = s.entries + list[n] * s.stride;
    P u, v;
    const P alpha = splat_alpha(entry_exponent(entry, x, y, u, v));
    const P weight = composite(alpha, P(entry[kPosition]), pixel);
    if constexpr (kChannels > 0) {
      DIFFMPM_UNROLL
      for (int k = 0; k < kChannels; ++k) sums[k] = vfma(weight, P(entry[kUnpacked + k]), sums[k]);
    } else {
      for (int k = 0; k < channels; ++k) {
        T* out = s.pixels + k * kTilePixels + at;
        vfma(weight, P(entry[kUnpacked + k]), P::load(out)).store(out);
      }
    }
    if (!any(pixel.open > P(T(0)))) break;
  }
  pixel.open.store(s.plane(0) + at), pixel.transmittance.store(s.plane(1) + at), pixel.end.store(s.plane(2) + at);
  if constexpr (kChannels > 0) {
    DIFFMPM_UNROLL
    for (int k = 0; k < kChannels; ++k) sums[k].store(s.pixels + k * kTilePixels + at);
  }
  return any(pixel.open > P(T(0)));
}

// Initialises the pixels of the tile. Returns the mask of cells with a pixel in the image.
template <class T>
unsigned open_tile(const ViewArgs<T>& a, const Tile& tile, const TileScratch<T>& s) {
  unsigned live = 0;
  for (int n = 0; n < kTilePixels; ++n) {
    const bool inside = s.lane_x[n] < T(tile.columns) && s.lane_y[n] < T(tile.rows);
    s.plane(0)[n] = inside ? T(1) : T(0), s.plane(1)[n] = T(1);
    s.plane(2)[n] = inside ? static_cast<T>(tile.end - tile.begin) : T(0);
    if (inside) live |= 1u << (n / kCellPixels);
  }
  std::fill_n(s.pixels, a.channels * kTilePixels, T(0));
  return live;
}

template <class T>
void write_tile(const ViewArgs<T>& a, const Tile& tile, const TileScratch<T>& s) {
  const int channels = a.channels - 1;
  const T* background = camera_background(a);
  std::copy_n(s.plane(1), kTilePixels, a.transmittance + tile.index * kTilePixels);
  std::copy_n(s.plane(2), kTilePixels, a.end + tile.index * kTilePixels);
  for (int r = 0; r < tile.rows; ++r) {
    const std::int64_t row = row_begin(a, tile, r);
    for (int c = 0; c < tile.columns; ++c) {
      const int at = pixel_index(r, c);
      const T transmittance = s.plane(1)[at];
      T* color = a.color + (row + c) * channels;
      for (int k = 0; k < channels; ++k)
        color[k] = s.pixels[k * kTilePixels + at] + (background ? transmittance * background[k] : T(0));
      a.alpha[row + c] = T(1) - transmittance;
      a.depth[row + c] = s.pixels[channels * kTilePixels + at];
    }
  }
}

// Writes a tile that no Gaussian reaches.
template <class T>
void write_background(const ViewArgs<T>& a, const Tile& tile) {
  const int channels = a.channels - 1;
  const T* background = camera_background(a);
  std::fill_n(a.transmittance + tile.index * kTilePixels, kTilePixels, T(1));
  std::fill_n(a.end + tile.index * kTilePixels, kTilePixels, T(0));
  for (int r = 0; r < tile.rows; ++r) {
    const std::int64_t row = row_begin(a, tile, r);
    std::fill_n(a.alpha + row, tile.columns, T(0));
    std::fill_n(a.depth + row, tile.columns, T(0));
    T* color = a.color + row * channels;
    if (!background) std::fill_n(color, tile.columns * channels, T(0));
    for (int c = 0; background && c < tile.columns; ++c) std::copy_n(background, channels, color + c * channels);
  }
}

template <class T, int kChannels>
void composite_tile(const ViewArgs<T>& a, const Tile& tile, const TileScratch<T>& s) {
  constexpr int kPacks = kCellPixels / Pack<T>::kWidth;
  std::uint16_t list[kEntryChunk];  // entries of the chunk that reach a cell
  unsigned live = open_tile(a, tile, s);
  for (std::uint32_t first = tile.begin; first < tile.end && live; first += kEntryChunk) {
    const int count = static_cast<int>(std::min<std::uint32_t>(kEntryChunk, tile.end - first));
    poll();
    unpack_entries(a, tile, first, count, s);
    for (int cell = 0; cell < kCells; ++cell) {
      if (!(live >> cell & 1)) continue;
      int size = 0;
      for (int n = 0; n < count; ++n) {
        list[size] = static_cast<std::uint16_t>(n);
        size += a.entries[first + n].cells >> cell & 1;
      }
      bool open = false;
      for (int p = 0; p < kPacks; ++p) {
        const std::int64_t at = cell * kCellPixels + p * Pack<T>::kWidth;
        open |= composite_pack<T, kChannels>(s, a.channels, at, list, size);
      }
      if (!open) live &= ~(1u << cell);
    }
  }
  write_tile(a, tile, s);
}

template <class T, int kChannels>
void composite_pass(const ViewArgs<T>& a) {
  for_each_tile(a, [&](const TileScratch<T>& s, const Tile& tile) {
    if (tile.begin == tile.end) return write_background(a, tile);
    composite_tile<T, kChannels>(a, tile, s);
  });
}

DIFFMPM_END_ISA
