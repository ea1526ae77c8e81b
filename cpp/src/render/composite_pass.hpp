// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "scratch.hpp"

// Forward compositing: parallel over tiles. A cell of 4 x 4 pixels runs through the entries that reach it, front to back,
// with its pixels in the lanes of one vector (of several where vectors are shorter), and stops when all have ended.

DIFFMPM_BEGIN_ISA

// One pack of a cell through `count` entries of the chunk; false once every pixel has ended.
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

// Puts every pixel of the tile before its first entry; returns the mask of cells with a pixel in the image.
template <class T>
unsigned open_tile(const ViewArgs<T>& a, const Tile& tile, const TileScratch<T>& s) {
  const int width = a.input->width - tile.x, height = a.input->height - tile.y;
  unsigned live = 0;
  for (int n = 0; n < kTilePixels; ++n) {
    const bool inside = s.lane_x[n] < T(width) && s.lane_y[n] < T(height);
    s.plane(0)[n] = inside ? T(1) : T(0), s.plane(1)[n] = T(1);
    s.plane(2)[n] = inside ? static_cast<T>(tile.end - tile.begin) : T(0);
    if (inside) live |= 1u << (n / kCellPixels);
  }
  std::fill_n(s.pixels, a.channels * kTilePixels, T(0));
  return live;
}

template <class T>
void write_tile(const ViewArgs<T>& a, const Tile& tile, const TileScratch<T>& s) {
  const RasterInput<T>& in = *a.input;
  const T* background = in.backgrounds ? in.backgrounds + a.camera * in.channels : nullptr;
  std::copy_n(s.plane(1), kTilePixels, a.transmittance + tile.index * kTilePixels);
  std::copy_n(s.plane(2), kTilePixels, a.end + tile.index * kTilePixels);
  const int columns = std::min(kTileEdge, in.width - tile.x), rows = std::min(kTileEdge, in.height - tile.y);
  for (int r = 0; r < rows; ++r) {
    const std::int64_t row = static_cast<std::int64_t>(tile.y + r) * in.width + tile.x;
    for (int c = 0; c < columns; ++c) {
      const int at = pixel_place(r, c);
      const T left = s.plane(1)[at];
      T* color = a.color + (row + c) * in.channels;
      for (int k = 0; k < in.channels; ++k)
        color[k] = s.pixels[k * kTilePixels + at] + (background ? left * background[k] : T(0));
      a.alpha[row + c] = T(1) - left;
      a.depth[row + c] = s.pixels[in.channels * kTilePixels + at];
    }
  }
}

// A tile that no Gaussian reaches.
template <class T>
void write_background(const ViewArgs<T>& a, const Tile& tile) {
  const RasterInput<T>& in = *a.input;
  const T* background = in.backgrounds ? in.backgrounds + a.camera * in.channels : nullptr;
  std::fill_n(a.transmittance + tile.index * kTilePixels, kTilePixels, T(1));
  std::fill_n(a.end + tile.index * kTilePixels, kTilePixels, T(0));
  const int columns = std::min(kTileEdge, in.width - tile.x), rows = std::min(kTileEdge, in.height - tile.y);
  for (int r = 0; r < rows; ++r) {
    const std::int64_t row = static_cast<std::int64_t>(tile.y + r) * in.width + tile.x;
    std::fill_n(a.alpha + row, columns, T(0));
    std::fill_n(a.depth + row, columns, T(0));
    T* color = a.color + row * in.channels;
    if (!background) {
      std::fill_n(color, columns * in.channels, T(0));
    } else {
      for (int c = 0; c < columns; ++c) std::copy_n(background, in.channels, color + c * in.channels);
    }
  }
}

template <class T, int kChannels>
void composite_tile(const ViewArgs<T>& a, const Tile& tile, const TileScratch<T>& s) {
  constexpr int kPacks = kCellPixels / Pack<T>::kWidth;
  std::uint16_t list[kEntryChunk];
  unsigned live = open_tile(a, tile, s);
  for (std::uint32_t first = tile.begin; first < tile.end && live; first += kEntryChunk) {
    const int count = static_cast<int>(std::min<std::uint32_t>(kEntryChunk, tile.end - first));
    poll();
    unpack_entries(a, tile, first, count, s);
    for (int cell = 0; cell < kCells; ++cell) {
      if (!(live >> cell & 1)) continue;
      int reached = 0;
      for (int n = 0; n < count; ++n) {
        list[reached] = static_cast<std::uint16_t>(n);
        reached += a.entries[first + n].cells >> cell & 1;
      }
      bool open = false;
      for (int p = 0; p < kPacks; ++p) {
        const std::int64_t at = cell * kCellPixels + p * Pack<T>::kWidth;
        open |= composite_pack<T, kChannels>(s, a.channels, at, list, reached);
      }
      if (!open) live &= ~(1u << cell);
    }
  }
  write_tile(a, tile, s);
}

template <class T, int kChannels>
void composite_pass(const ViewArgs<T>& a) {
  const std::int64_t tiles = static_cast<std::int64_t>(a.tiles_x) * a.tiles_y;
  parallel_for_with(
      tiles, kTileChunk, a.threads, [&] { return thread_scratch(a); },
      [&](const TileScratch<T>& s, std::int64_t n) {
        const Tile tile = make_tile(a, n);
        if (tile.begin == tile.end) {
          write_background(a, tile);
        } else {
          composite_tile<T, kChannels>(a, tile, s);
        }
      });
}

DIFFMPM_END_ISA
