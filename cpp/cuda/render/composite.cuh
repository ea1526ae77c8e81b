// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "render/lists.cuh"

// Compositing and its adjoint: a block of threads a tile, a thread two pixels. Pixels are numbered (cell, lane), so that a warp has
// two cells.

namespace diffmpm::cuda {

inline constexpr int kChannelGroup = 4;  // channels whose sums are carried through the list at a time

// A pixel of an image.
template <class T>
struct PixelPlace {
  bool inside;
  std::int64_t at;  // in the image
  T x, y;           // centre, relative to the tile
};

template <class T>
struct TileView {
  int view, x, y;  // image, first pixel
  Index begin, end;

  DIFFMPM_HD TileView(const RasterView<T>& a, std::int64_t tile)
      : view(static_cast<int>(tile / a.tiles())),
        x(static_cast<int>(tile % a.tiles() % a.tiles_x) * kTileEdge),
        y(static_cast<int>(tile % a.tiles() / a.tiles_x) * kTileEdge),
        begin(a.tile_begin[tile]),
        end(a.tile_begin[tile + 1]) {}

  DIFFMPM_HD PixelPlace<T> pixel(const RasterView<T>& a, int n) const {
    const int cell = n / kCellPixels, lane = n % kCellPixels;
    const int column = cell % kTileCells * kCellEdge + lane % kCellEdge,
              row = cell / kTileCells * kCellEdge + lane / kCellEdge;
    return {x + column < a.in.width && y + row < a.in.height, std::int64_t{y + row} * a.in.width + x + column,
            T(column) + T(0.5), T(row) + T(0.5)};
  }
};

// An entry as the pixels of its tile read it.
template <class T>
struct PixelEntry {
  T x, y;  // relative to the tile [px]
  Whitening<T> w;
  T log2_opacity;
  std::uint32_t cells;
  Index slot;
  std::int64_t color;  // place of its first channel
  T depth;

  DIFFMPM_HD T exponent(const PixelPlace<T>& p, T& u, T& v) const {
    return splat_exponent(w, log2_opacity, p.x - x, p.y - y, u, v);
  }
};

template <class T>
DIFFMPM_HD PixelEntry<T> load_entry(const RasterView<T>& a, const TileView<T>& tile, Index n) {
  const Index slot = a.entry_slots[n], g = a.slot_splats[slot];
  const Splat<T>& s = a.splats[g];
  const std::int64_t row = a.in.colors_per_camera ? g : g % a.in.count;
  return {static_cast<T>(s.x - tile.x), static_cast<T>(s.y - tile.y),
          {s.xx, s.xy, s.yy},           s.log2_opacity,
          a.slot_cells[slot],           slot,
          row * a.in.channels,          s.depth};
}

// Channel k of an entry; the depth is the last.
template <class T>
DIFFMPM_HD T channel(const RasterView<T>& a, const PixelEntry<T>& entry, int k) {
  return k < a.in.channels ? a.in.colors[entry.color + k] : entry.depth;
}

template <class T>
struct Composite {
  struct Args {
    RasterView<T> view;
    T *end, *transmittance;    // (C tiles, 256)
    T *color, *alpha, *depth;  // images
  };
  static constexpr int kBatch = kThreads;
  static constexpr int kPixels = kTilePixels / kThreads;  // of a thread
  struct Shared {
    PixelEntry<T> entries[kBatch];
    PixelState<T> pixels[kTilePixels];
    T sums[kChannelGroup][kTilePixels];
    unsigned char open[kThreads];
    int live[kWarps];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const RasterView<T>& view = a.view;
    const TileView<T> tile(view, block.index());
    const int channels = view.in.channels + 1;
    for (int first = 0; first < channels; first += kChannelGroup) {
      const int count = channels - first < kChannelGroup ? channels - first : kChannelGroup;
      through_list(block, s, view, tile, first, count);
      block.for_each(kTilePixels, [&](int n) { write(s, a, tile, n, first, count); });
    }
  }

  // All pixels through the list of the tile, with the sums of `count` channels.
  template <class Block>
  static DIFFMPM_HD void through_list(Block& block, Shared& s, const RasterView<T>& view, const TileView<T>& tile,
                                      int first, int count) {
    block.for_each(kTilePixels, [&](int n) {
      const bool inside = tile.pixel(view, n).inside;
      s.pixels[n] = {inside ? T(1) : T(0), T(1), inside ? static_cast<T>(tile.end - tile.begin) : T(0)};
      for (int k = 0; k < count; ++k) s.sums[k][n] = T(0);
    });
    bool live = true;
    for (Index at = tile.begin; at < tile.end && live; at += kBatch) {
      const int batch = tile.end - at < kBatch ? static_cast<int>(tile.end - at) : kBatch;
      block.for_each(batch, [&](int n) { s.entries[n] = load_entry(view, tile, at + n); });
      block.for_each(kThreads, [&](int t) {
        bool open = false;
        for (int p = 0; p < kPixels; ++p)
          open |= pixel_through_batch(s, view, tile, t + p * kThreads, at - tile.begin, batch, first, count);
        s.open[t] = open;
      });
      block.for_each(kWarps, [&](int w) {
        int any = 0;
        for (int t = 0; t < kWarp; ++t) any |= s.open[w * kWarp + t];
        s.live[w] = any;
      });
      live = false;
      for (int w = 0; w < kWarps; ++w) live |= s.live[w] != 0;
    }
  }

  static DIFFMPM_HD bool pixel_through_batch(Shared& s, const RasterView<T>& view, const TileView<T>& tile, int n,
                                             Index position, int batch, int first, int count) {
    PixelState<T> pixel = s.pixels[n];
    if (!(pixel.open > T(0))) return false;
    const PixelPlace<T> place = tile.pixel(view, n);
    const int cell = n / kCellPixels;
    T sums[kChannelGroup];
    for (int k = 0; k < kChannelGroup; ++k) sums[k] = k < count ? s.sums[k][n] : T(0);
    for (int m = 0; m < batch && pixel.open > T(0); ++m) {
      const PixelEntry<T>& entry = s.entries[m];
      if (!(entry.cells >> cell & 1)) continue;
      T u, v;
      const T alpha = splat_alpha(entry.exponent(place, u, v));
      const T weight = composite(alpha, static_cast<T>(position + m), pixel);
      for (int k = 0; k < kChannelGroup; ++k)
        if (k < count) sums[k] = vfma(weight, channel(view, entry, first + k), sums[k]);
    }
    s.pixels[n] = pixel;
    for (int k = 0; k < kChannelGroup; ++k)
      if (k < count) s.sums[k][n] = sums[k];
    return pixel.open > T(0);
  }

  static DIFFMPM_HD void write(const Shared& s, const Args& a, const TileView<T>& tile, int n, int first, int count) {
    const RasterInput<T>& in = a.view.in;
    const std::int64_t kept =
        (std::int64_t{tile.view} * a.view.tiles() + tile.y / kTileEdge * a.view.tiles_x + tile.x / kTileEdge) *
            kTilePixels +
        n;
    const T left = s.pixels[n].transmittance;
    a.transmittance[kept] = left, a.end[kept] = s.pixels[n].end;
    const PixelPlace<T> place = tile.pixel(a.view, n);
    if (!place.inside) return;
    const std::int64_t pixel = tile.view * a.view.pixels() + place.at;
    for (int k = 0; k < count; ++k) {
      const int channel = first + k;
      if (channel == in.channels) {
        a.depth[pixel] = s.sums[k][n];
      } else {
        const T behind = in.backgrounds ? left * in.backgrounds[tile.view * in.channels + channel] : T(0);
        a.color[pixel * in.channels + channel] = s.sums[k][n] + behind;
      }
    }
    a.alpha[pixel] = T(1) - left;
  }
};

// Adjoint of the compositing, back to front, a few entries at a time: first each pixel lays down what an entry's moments and
// channels are weighted with, then a few threads an entry add up the pixels, in a fixed order.
template <class T>
struct CompositeVjp {
  static constexpr int kBatch = sizeof(T) == 4 ? 8 : 4;
  static constexpr int kParts = kThreads / kBatch;    // threads of an entry
  static constexpr int kPart = kTilePixels / kParts;  // pixels of a thread
  static constexpr int kPixels = kTilePixels / kThreads;

  struct Args {
    RasterView<T> view;
    const T *end, *transmittance;
    const T *color, *alpha, *depth;  // cotangents of the images, or null
    T* sums;                         // (entries, kMoments + channels), by slot; zero before
  };
  struct Pixel {
    PixelAdjoint<T> adjoint;
    T end;
  };
  struct Sums {
    T v[kMoments + kChannelGroup];
  };
  struct Shared {
    PixelEntry<T> entries[kBatch];
    Pixel pixels[kTilePixels];
    T of_exponent[kBatch][kTilePixels];  // g = dL / d log(alpha)
    T weight[kBatch][kTilePixels];
    Sums sums[kBatch][kParts];
    Index ends[kThreads];
    Index last;
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const TileView<T> tile(a.view, block.index());
    if (tile.begin == tile.end) return;
    block.for_each(kTilePixels, [&](int n) { s.pixels[n] = load_pixel(a, tile, block.index(), n); });
    block.for_each(kThreads, [&](int t) {
      T end(0);
      for (int p = 0; p < kPixels; ++p)
        end = s.pixels[t + p * kThreads].end > end ? s.pixels[t + p * kThreads].end : end;
      s.ends[t] = static_cast<Index>(end);
    });
    block.for_each(1, [&](int) {
      Index last = 0;
      for (int t = 0; t < kThreads; ++t) last = s.ends[t] > last ? s.ends[t] : last;
      s.last = last;
    });
    const int channels = a.view.in.channels + 1;
    for (Index end = s.last; end > 0;) {
      const Index first = (end - 1) / kBatch * kBatch;
      const int batch = static_cast<int>(end - first);
      block.for_each(batch, [&](int n) { s.entries[n] = load_entry(a.view, tile, tile.begin + first + n); });
      block.for_each(kThreads, [&](int t) {
        for (int p = 0; p < kPixels; ++p) pixel_through_batch(s, a, tile, t + p * kThreads, first, batch);
      });
      for (int group = 0; group < channels; group += kChannelGroup) {
        const int count = channels - group < kChannelGroup ? channels - group : kChannelGroup;
        block.for_each(batch * kParts, [&](int n) { add_part(s, a, tile, n / kParts, n % kParts, group, count); });
        block.for_each(batch * (kMoments + kChannelGroup), [&](int n) {
          add_parts(s, a, n / (kMoments + kChannelGroup), n % (kMoments + kChannelGroup), group, count);
        });
      }
      end = first;
    }
  }

  // Cotangent of channel k of a pixel.
  static DIFFMPM_HD T cotangent(const Args& a, const TileView<T>& tile, std::int64_t at, int k) {
    const std::int64_t pixel = tile.view * a.view.pixels() + at;
    if (k < a.view.in.channels) return a.color ? a.color[pixel * a.view.in.channels + k] : T(0);
    return a.depth ? a.depth[pixel] : T(0);
  }

  static DIFFMPM_HD Pixel load_pixel(const Args& a, const TileView<T>& tile, std::int64_t index, int n) {
    const RasterInput<T>& in = a.view.in;
    const PixelPlace<T> place = tile.pixel(a.view, n);
    const T left = a.transmittance[index * kTilePixels + n];
    T behind(0);
    if (place.inside) {
      if (a.alpha) behind = -a.alpha[tile.view * a.view.pixels() + place.at];
      if (a.color && in.backgrounds)
        for (int k = 0; k < in.channels; ++k)
          behind += cotangent(a, tile, place.at, k) * in.backgrounds[tile.view * in.channels + k];
    }
    return {{left, behind * left}, a.end[index * kTilePixels + n]};
  }

  static DIFFMPM_HD void pixel_through_batch(Shared& s, const Args& a, const TileView<T>& tile, int n, Index first,
                                             int batch) {
    const PixelPlace<T> place = tile.pixel(a.view, n);
    const int cell = n / kCellPixels, channels = a.view.in.channels + 1;
    Pixel pixel = s.pixels[n];
    T near[kChannelGroup];  // cotangents that are read again and again
    for (int k = 0; k < kChannelGroup; ++k)
      near[k] = place.inside && k < channels ? cotangent(a, tile, place.at, k) : T(0);
    for (int m = batch; m-- > 0;) {
      const PixelEntry<T>& entry = s.entries[m];
      T g(0), weight(0);
      if (pixel.end > static_cast<T>(first + m) && (entry.cells >> cell & 1)) {
        T u, v;
        const T alpha = splat_alpha(entry.exponent(place, u, v));
        T adj_weight(0);
        for (int k = 0; k < kChannelGroup; ++k)
          if (k < channels) adj_weight = vfma(near[k], channel(a.view, entry, k), adj_weight);
        for (int k = kChannelGroup; k < channels; ++k)
          adj_weight = vfma(cotangent(a, tile, place.at, k), channel(a.view, entry, k), adj_weight);
        g = splat_alpha_vjp(alpha, composite_vjp(alpha, adj_weight, pixel.adjoint, weight));
      }
      s.of_exponent[m][n] = g, s.weight[m][n] = weight;
    }
    s.pixels[n] = pixel;
  }

  // Part `part` of the pixels of entry m: its moments, with the first group of channels, and the channels of the group.
  static DIFFMPM_HD void add_part(Shared& s, const Args& a, const TileView<T>& tile, int m, int part, int group,
                                  int count) {
    const PixelEntry<T>& entry = s.entries[m];
    Sums sums{};
    for (int n = part * kPart; n < (part + 1) * kPart; ++n) {
      if (!(entry.cells >> (n / kCellPixels) & 1)) continue;
      const PixelPlace<T> place = tile.pixel(a.view, n);
      if (!place.inside) continue;
      if (group == 0) {
        T u, v;
        static_cast<void>(entry.exponent(place, u, v));
        const T g = s.of_exponent[m][n], gu = g * u, gv = g * v;
        sums.v[0] += g, sums.v[1] += gu, sums.v[2] += gv;
        sums.v[3] = vfma(gu, u, sums.v[3]), sums.v[4] = vfma(gu, v, sums.v[4]), sums.v[5] = vfma(gv, v, sums.v[5]);
      }
      for (int k = 0; k < kChannelGroup; ++k)
        if (k < count)
          sums.v[kMoments + k] = vfma(s.weight[m][n], cotangent(a, tile, place.at, group + k), sums.v[kMoments + k]);
    }
    s.sums[m][part] = sums;
  }

  static DIFFMPM_HD void add_parts(const Shared& s, const Args& a, int m, int n, int group, int count) {
    if (n < kMoments ? group > 0 : n - kMoments >= count) return;
    T sum(0);
    for (int part = 0; part < kParts; ++part) sum += s.sums[m][part].v[n];
    const std::int64_t row = std::int64_t{s.entries[m].slot} * (kMoments + a.view.in.channels + 1);
    a.sums[row + (n < kMoments ? n : n + group)] = sum;
  }
};

}  // namespace diffmpm::cuda
