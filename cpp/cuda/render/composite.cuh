// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "render/lists.cuh"

// Compositing and its adjoint. A block renders one tile, a warp a quadrant of 8 x 8 pixels, and a lane two pixels of it, one in each
// half of 8 x 4. A warp processes only the entries that reach its quadrant, and evaluates only the halves that they reach.

namespace diffmpm::cuda {

inline constexpr int kQuadrants = 4;
inline constexpr int kQuadrantEdge = kTileEdge / 2;
inline constexpr int kQuadrantPixels = kTilePixels / kQuadrants;
inline constexpr int kHalves = 2;  // of a quadrant: pixels of a lane
inline constexpr int kHalfEdge = kQuadrantEdge / kHalves;
static_assert(kQuadrants == kWarps && kQuadrantPixels == kHalves * kWarp && kTileCells == 4 && kCellEdge == kHalfEdge);

DIFFMPM_HD int lowest_bit(std::uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __ffs(static_cast<int>(bits)) - 1;
#else
  return std::countr_zero(bits);
#endif
}
DIFFMPM_HD int count_bits(std::uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __popc(bits);
#else
  return std::popcount(bits);
#endif
}

// Cells of a half of a quadrant, and of a whole one, as bits of a tile's mask.
DIFFMPM_HD std::uint32_t half_cells(int quadrant, int half) {
  return 3u << (kTileCells * (2 * (quadrant / 2) + half) + 2 * (quadrant % 2));
}
DIFFMPM_HD std::uint32_t quadrant_cells(int quadrant) { return half_cells(quadrant, 0) | half_cells(quadrant, 1); }

// A pixel of an image.
template <class T>
struct PixelCoords {
  bool inside;
  std::int64_t at;  // in the image
  T x, y;           // centre relative to the tile
};

// Pixels of a tile are numbered (quadrant, half, lane).
template <class T>
struct TileView {
  int view, x, y;  // image, first pixel
  Index begin, end;

  DIFFMPM_HD TileView(const RasterView<T>& a, int tile) {
    const int tiles = static_cast<int>(a.tiles());
    view = tile / tiles, x = tile % tiles % a.tiles_x * kTileEdge, y = tile % tiles / a.tiles_x * kTileEdge;
    begin = a.tile_begin[tile], end = a.tile_begin[tile + 1];
  }

  DIFFMPM_HD PixelCoords<T> pixel(const RasterView<T>& a, int n) const {
    const int quadrant = n / kQuadrantPixels, half = n / kWarp % kHalves, lane = n % kWarp;
    const int column = kQuadrantEdge * (quadrant % 2) + lane % kQuadrantEdge;
    const int row = kQuadrantEdge * (quadrant / 2) + kHalfEdge * half + lane / kQuadrantEdge;
    return {x + column < a.in.width && y + row < a.in.height, std::int64_t{y + row} * a.in.width + x + column,
            T(column) + T(0.5), T(row) + T(0.5)};
  }
};

// Number of the pixel of a thread in a half.
DIFFMPM_HD int pixel_of(int thread, int half) {
  return thread / kWarp * kQuadrantPixels + half * kWarp + thread % kWarp;
}

// An entry in shared memory, aligned for loads of 16 bytes.
template <class T>
struct alignas(16) PixelEntry {
  T x, y;  // relative to the tile [px]
  Whitening<T> w;
  T log2_opacity;
  std::uint32_t cells;
  Index slot;
  T values[kChannelGroup];  // of the current group of channels
};

template <class T>
DIFFMPM_HD std::int64_t color_row(const RasterView<T>& a, Index splat) {
  const Index row = a.in.colors_per_camera || a.in.cameras == 1 ? splat : splat % static_cast<Index>(a.in.count);
  return std::int64_t{row} * a.in.channels;
}

template <class T>
DIFFMPM_HD T channel(const RasterView<T>& a, Index splat, int k) {
  if (k < a.in.channels) return a.in.colors[color_row(a, splat) + k];
  return k == a.in.channels ? a.depths[splat] : T(0);
}

template <class T>
DIFFMPM_HD PixelEntry<T> load_entry(const RasterView<T>& a, const TileView<T>& tile, Index n, int first_channel) {
  const Index slot = a.entry_slots[n];
  const Slot info = a.slots[slot];
  const DeviceSplat<T> splat = a.splats[info.splat];
  PixelEntry<T> entry = {static_cast<T>(splat.x - tile.x),
                         static_cast<T>(splat.y - tile.y),
                         splat.w,
                         splat.log2_opacity,
                         info.cells,
                         slot,
                         {}};
  for (int k = 0; k < kChannelGroup; ++k)
    entry.values[k] = first_channel == 0 ? splat.values[k] : channel(a, info.splat, first_channel + k);
  return entry;
}

// Composite the tiles; with kManyChannels in several passes, for more than kChannelGroup channels.
template <class T, bool kManyChannels>
struct Composite {
  struct Args {
    RasterView<T> view;
    Index* end;                // (C tiles, 256), one past the last entry that the pixel has composited
    T* transmittance;          // (C tiles, 256)
    T *color, *alpha, *depth;  // images
  };
  static constexpr int kBlocks = sizeof(T) == 4 ? 8 : 4;
  static constexpr int kBatch = kThreads;
  static constexpr int kWords = kBatch / 32;
  struct Shared {
    PixelEntry<T> entries[kBatch];
    std::uint32_t hits[kQuadrants][kWords];  // entries of the batch that reach a quadrant
  };
  struct Pixel {
    PixelState<T> state;
    Index end;
    T sums[kChannelGroup];
  };
  struct Pixels {
    Pixel of[kHalves];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const RasterView<T>& view = a.view;
    const TileView<T> tile(view, block.index());
    const int channels = kManyChannels ? view.in.channels + 1 : kChannelGroup;
    auto pixels = block.template thread_value<Pixels>();
    for (int first = 0; first < channels; first += kChannelGroup) {
      block.for_each(kThreads, [&](int t) { open(view, tile, t, pixels[t]); });
      bool live = true;
      for (Index at = tile.begin; at < tile.end && live; at += kBatch) {
        const int batch = tile.end - at < kBatch ? static_cast<int>(tile.end - at) : kBatch;
        block.for_each(batch, [&](int n) { s.entries[n] = load_entry(view, tile, at + n, first); });
        block.ballot(kQuadrants * kBatch, s.hits[0], [&](int n) {
          return n % kBatch < batch && (s.entries[n % kBatch].cells & quadrant_cells(n / kBatch)) != 0;
        });
        live = block.any(kThreads, [&](int t) { return through_batch(s, view, tile, t, at - tile.begin, pixels[t]); });
      }
      block.for_each(kThreads, [&](int t) { write(a, tile, block.index(), t, first, pixels[t]); });
    }
  }

  static DIFFMPM_HD void open(const RasterView<T>& view, const TileView<T>& tile, int t, Pixels& pixels) {
    for (int p = 0; p < kHalves; ++p) {
      const bool inside = tile.pixel(view, pixel_of(t, p)).inside;
      pixels.of[p] = {{inside ? T(1) : T(0), T(1), T(0)}, 0, {}};
    }
  }

  // Composite a batch, which starts at `position` of the list, into a thread's pixels; false once both have ended.
  static DIFFMPM_HD bool through_batch(const Shared& s, const RasterView<T>& view, const TileView<T>& tile, int t,
                                       Index position, Pixels& pixels) {
    const int quadrant = t / kWarp;
    const PixelCoords<T> coords = tile.pixel(view, pixel_of(t, 0));
    const auto is_open = [&] { return pixels.of[0].state.open > T(0) || pixels.of[1].state.open > T(0); };
    for (int word = 0; word < kWords; ++word)
      for (std::uint32_t bits = s.hits[quadrant][word]; bits != 0 && is_open(); bits &= bits - 1) {
        const int m = 32 * word + lowest_bit(bits);
        const PixelEntry<T> entry = s.entries[m];
        for (int p = 0; p < kHalves; ++p)
          if (entry.cells & half_cells(quadrant, p))
            through_entry(entry, coords.x - entry.x, coords.y + T(kHalfEdge * p) - entry.y, position + m, pixels.of[p]);
      }
    return is_open();
  }

  static DIFFMPM_HD void through_entry(const PixelEntry<T>& entry, T dx, T dy, Index position, Pixel& pixel) {
    T u, v;
    const T alpha = splat_alpha(splat_exponent(entry.w, entry.log2_opacity, dx, dy, u, v));
    const T weight = composite(alpha, T(0), pixel.state);
    pixel.end = weight > T(0) ? position + 1 : pixel.end;
    for (int k = 0; k < kChannelGroup; ++k) pixel.sums[k] = vfma(weight, entry.values[k], pixel.sums[k]);
  }

  static DIFFMPM_HD void write(const Args& a, const TileView<T>& tile, int index, int t, int first,
                               const Pixels& pixels) {
    const RasterInput<T>& in = a.view.in;
    for (int p = 0; p < kHalves; ++p) {
      const Pixel& pixel = pixels.of[p];
      const int n = pixel_of(t, p);
      const T left = pixel.state.transmittance;
      if (first == 0) {
        const std::int64_t slot = std::int64_t{index} * kTilePixels + n;
        a.transmittance[slot] = left, a.end[slot] = pixel.end;
      }
      const PixelCoords<T> coords = tile.pixel(a.view, n);
      if (!coords.inside) continue;
      const std::int64_t at = tile.view * a.view.pixels() + coords.at;
      for (int k = 0; k < kChannelGroup; ++k) {
        const int channel = first + k;
        if (channel < in.channels) {
          const T behind = in.backgrounds ? left * in.backgrounds[tile.view * in.channels + channel] : T(0);
          a.color[at * in.channels + channel] = pixel.sums[k] + behind;
        } else if (channel == in.channels) {
          a.depth[at] = pixel.sums[k];
        }
      }
      if (first == 0) a.alpha[at] = T(1) - left;
    }
  }
};

// Length of a row of an entry's sums, padded to whole Quads: kMoments, then the channels.
DIFFMPM_HD int sums_width(int channels) { return (kMoments + channels + 1 + 3) / 4 * 4; }

// Adjoint of the compositing, back to front, without atomic operations. Each warp takes the entries that reach its quadrant, a few
// at a time. First every lane stores, for its two pixels, dL / d log(alpha) and the weight of each entry. Then four lanes per entry
// sum 16 pixels each. Then these four sums, and after the batch those of the quadrants, are added in a fixed order.
//
// The moments are first summed in pixel coordinates relative to the lane's first pixel and converted to (u, v) once per lane. The
// whitened offsets within a quadrant are small, so nothing cancels even where a Gaussian is long and thin.
template <class T, bool kManyChannels>
struct CompositeVjp {
  static constexpr int kBlocks = sizeof(T) == 4 ? 6 : 3;
  static constexpr int kBatch = 32;                        // entries in shared memory
  static constexpr int kEntries = sizeof(T) == 4 ? 8 : 4;  // that a warp processes together
  static constexpr int kParts = 4;                         // lanes that sum one entry
  static constexpr int kQuads = kQuadrantPixels / 4;
  static constexpr int kSumQuads = (kMoments + kChannelGroup + 3) / 4;

  struct Args {
    RasterView<T> view;
    const Index* end;
    const T* transmittance;
    const T *color, *alpha, *depth;  // cotangents of the images, or null
    T* sums;                         // (entries, sums_width), by slot
  };
  struct Pixel {
    PixelAdjoint<T> adjoint;
    Index end;
  };
  struct Pixels {
    Pixel of[kHalves];
  };
  // One value per pixel of a quadrant, for each entry that its warp processes. The quads of odd entries are swapped so that the
  // lanes of two entries read different banks. Each part overwrites the quads it has read with its sums.
  struct Weights {
    Quad<T> at[kEntries][kQuads];
    static DIFFMPM_HD int swizzle(int entry, int quad) { return quad ^ (entry % 2 * kParts); }
  };
  struct Shared {
    PixelEntry<T> entries[kBatch];
    Quad<T> cotangents[kQuadrants][kChannelGroup][kQuads];  // of the current group of channels
    Weights of_exponent[kQuadrants];                        // g = dL / d log(alpha)
    Weights weight[kQuadrants];
    Quad<T> sums[kQuadrants][kBatch][kSumQuads];
    std::uint32_t hits[kQuadrants];  // entries of the batch that a quadrant processes
    int picked[kQuadrants][kBatch];  // their numbers, back to front
    Index ends[kQuadrants][kWarp];   // of the lists: of each lane, then in [0] of all of the quadrant
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const TileView<T> tile(a.view, block.index());
    if (tile.begin == tile.end) return;
    auto pixels = block.template thread_value<Pixels>();
    const int channels = kManyChannels ? a.view.in.channels + 1 : kChannelGroup;
    for (int group = 0; group < channels; group += kChannelGroup) {
      block.for_each(kThreads, [&](int t) { load_pixels(s, a, tile, block.index(), t, group, pixels[t]); });
      block.for_each_warp([&](auto& warp) {
        Index* const ends = s.ends[warp.index()];
        for (int half = kWarp / 2; half > 0; half /= 2)
          warp.for_each(half, [&](int n) { ends[n] = ends[n + half] > ends[n] ? ends[n + half] : ends[n]; });
      });
      Index last = 0;
      for (int q = 0; q < kQuadrants; ++q) last = s.ends[q][0] > last ? s.ends[q][0] : last;
      if (group == 0) block.for_each(tile.end - tile.begin - last, [&](int n) { clear(a, tile.begin + last + n); });
      for (Index end = last; end > 0;) {
        const Index first = (end - 1) / kBatch * kBatch;
        const int batch = static_cast<int>(end - first);
        block.for_each(batch, [&](int n) { s.entries[n] = load_entry(a.view, tile, tile.begin + first + n, group); });
        block.ballot(kQuadrants * kBatch, s.hits, [&](int n) {
          const int q = n / kBatch, m = n % kBatch;
          return m < batch && first + m < s.ends[q][0] && (s.entries[m].cells & quadrant_cells(q)) != 0;
        });
        block.for_each_warp([&](auto& warp) { quadrant_through_batch(warp, s, a, tile, first, group, pixels); });
        block.for_each(batch * kSumQuads, [&](int n) { put_sums(s, a, n / kSumQuads, n % kSumQuads, group); });
        end = first;
      }
    }
  }

  // Cotangent of channel k of a pixel.
  static DIFFMPM_HD T cotangent(const Args& a, const TileView<T>& tile, std::int64_t at, int k) {
    const std::int64_t pixel = tile.view * a.view.pixels() + at;
    if (k < a.view.in.channels) return a.color ? a.color[pixel * a.view.in.channels + k] : T(0);
    return k == a.view.in.channels && a.depth ? a.depth[pixel] : T(0);
  }

  static DIFFMPM_HD void load_pixels(Shared& s, const Args& a, const TileView<T>& tile, int index, int t, int group,
                                     Pixels& pixels) {
    const RasterInput<T>& in = a.view.in;
    Index last = 0;
    for (int p = 0; p < kHalves; ++p) {
      Pixel& pixel = pixels.of[p];
      const int n = pixel_of(t, p);
      const PixelCoords<T> coords = tile.pixel(a.view, n);
      const T left = a.transmittance[std::int64_t{index} * kTilePixels + n];
      T behind(0);
      if (coords.inside) {
        if (a.alpha) behind = -a.alpha[tile.view * a.view.pixels() + coords.at];
        if (a.color && in.backgrounds)
          for (int k = 0; k < in.channels; ++k)
            behind += cotangent(a, tile, coords.at, k) * in.backgrounds[tile.view * in.channels + k];
      }
      pixel.adjoint = {left, behind * left};
      pixel.end = a.end[std::int64_t{index} * kTilePixels + n];
      last = pixel.end > last ? pixel.end : last;
      for (int k = 0; k < kChannelGroup; ++k)
        s.cotangents[t / kWarp][k][n % kQuadrantPixels / 4].v[n % 4] =
            coords.inside ? cotangent(a, tile, coords.at, group + k) : T(0);
    }
    s.ends[t / kWarp][t % kWarp] = last;
  }

  // An entry that no pixel has composited.
  static DIFFMPM_HD void clear(const Args& a, Index n) {
    Quad<T>* const row = sums_row(a, a.view.entry_slots[n]);
    for (int j = 0; 4 * j < sums_width(a.view.in.channels); ++j) row[j] = {};
  }

  static DIFFMPM_HD Quad<T>* sums_row(const Args& a, Index slot) {
    return reinterpret_cast<Quad<T>*>(a.sums + std::int64_t{slot} * sums_width(a.view.in.channels));
  }

  template <class Warp, class PixelsOfThreads>
  static DIFFMPM_HD void quadrant_through_batch(Warp& warp, Shared& s, const Args& a, const TileView<T>& tile,
                                                Index first, int group, PixelsOfThreads& pixels) {
    const int q = warp.index();
    const std::uint32_t hits = s.hits[q];
    warp.for_each(kBatch, [&](int m) {
      if (hits >> m & 1) s.picked[q][count_bits(hits >> m >> 1)] = m;
    });
    const int total = count_bits(hits);
    for (int start = 0; start < total; start += kEntries) {
      const int* const picked = s.picked[q] + start;
      const int count = total - start < kEntries ? total - start : kEntries;
      warp.for_each(kWarp, [&](int lane) {
        lane_through_entries(s, a, tile, q, lane, picked, count, first, group, pixels[q * kWarp + lane]);
      });
      warp.for_each(count * kParts, [&](int n) { add_part(s, q, n / kParts, picked, n % kParts, group); });
      warp.for_each(count * kSumQuads, [&](int n) { add_parts(s, q, n / kSumQuads, picked, n % kSumQuads); });
    }
  }

  static DIFFMPM_HD void lane_through_entries(Shared& s, const Args& a, const TileView<T>& tile, int q, int lane,
                                              const int* picked, int count, Index first, int group, Pixels& pixels) {
    const PixelCoords<T> coords = tile.pixel(a.view, q * kQuadrantPixels + lane);
    const int own_quad = lane / 4, in_quad = lane % 4;
    T cotangents[kHalves][kChannelGroup];
    for (int p = 0; p < kHalves; ++p)
      for (int k = 0; k < kChannelGroup; ++k)
        cotangents[p][k] = s.cotangents[q][k][p * kWarp / 4 + own_quad].v[in_quad];
    for (int e = 0; e < count; ++e) {
      const int m = picked[e];
      const PixelEntry<T> entry = s.entries[m];
      for (int p = 0; p < kHalves; ++p) {
        Pixel& pixel = pixels.of[p];
        T g(0), weight(0);
        if ((entry.cells & half_cells(q, p)) && first + m < pixel.end) {
          T u, v;
          const T alpha = splat_alpha(splat_exponent(entry.w, entry.log2_opacity, coords.x - entry.x,
                                                     coords.y + T(kHalfEdge * p) - entry.y, u, v));
          T adj_weight(0);
          if (group == 0) {
            for (int k = 0; k < kChannelGroup; ++k) adj_weight = vfma(cotangents[p][k], entry.values[k], adj_weight);
            if constexpr (kManyChannels)
              adj_weight += far_channels(a, tile, entry.slot, q * kQuadrantPixels + p * kWarp + lane);
          }
          g = splat_alpha_vjp(alpha, composite_vjp(alpha, adj_weight, pixel.adjoint, weight));
        }
        const int quad = Weights::swizzle(e, p * kWarp / 4 + own_quad);
        s.of_exponent[q].at[e][quad].v[in_quad] = g, s.weight[q].at[e][quad].v[in_quad] = weight;
      }
    }
  }

  // Contribution to the adjoint of an entry's weight from channels beyond the first group, which are not in shared memory.
  static DIFFMPM_HD T far_channels(const Args& a, const TileView<T>& tile, Index slot, int n) {
    const Index splat = a.view.slots[slot].splat;
    const T* const color = a.view.in.colors + color_row(a.view, splat);
    const PixelCoords<T> coords = tile.pixel(a.view, n);
    T sum = cotangent(a, tile, coords.at, a.view.in.channels) * a.view.depths[splat];
    for (int k = kChannelGroup; k < a.view.in.channels; ++k)
      sum = vfma(cotangent(a, tile, coords.at, k), color[k], sum);
    return sum;
  }

  // Part `part` of the pixels of entry e: columns 4 (part % 2) to + 3 of rows part / 2, + 2, + 4, + 6 of the quadrant.
  static DIFFMPM_HD void add_part(Shared& s, int q, int e, const int* picked, int part, int group) {
    Quad<T>(&exponent)[kQuads] = s.of_exponent[q].at[e];
    Quad<T>(&weight)[kQuads] = s.weight[q].at[e];
    T m[kMoments] = {}, c[kChannelGroup] = {};
    for (int j = 0; j < kQuads / kParts; ++j) {
      const int quad = kParts * j + part;
      if (group == 0) {
        const Quad<T> g = exponent[Weights::swizzle(e, quad)];
        const T y = T(2 * j), sum = g.v[0] + g.v[1] + (g.v[2] + g.v[3]);
        const T of_x = vfma(T(3), g.v[3], vfma(T(2), g.v[2], g.v[1]));
        const T of_xx = vfma(T(9), g.v[3], vfma(T(4), g.v[2], g.v[1]));
        m[0] += sum, m[1] += of_x, m[2] = vfma(y, sum, m[2]);
        m[3] += of_xx, m[4] = vfma(y, of_x, m[4]), m[5] = vfma(y * y, sum, m[5]);
      }
      const Quad<T> w = weight[Weights::swizzle(e, quad)];
      for (int k = 0; k < kChannelGroup; ++k) {
        const Quad<T> cotangent = s.cotangents[q][k][quad];
        for (int i = 0; i < 4; ++i) c[k] = vfma(w.v[i], cotangent.v[i], c[k]);
      }
    }
    T sums[4 * kSumQuads] = {};
    if (group == 0) {
      const PixelEntry<T>& entry = s.entries[picked[e]];
      const Whitening<T>& w = entry.w;
      const T x = T(kQuadrantEdge * (q % 2) + 4 * (part % 2)) + T(0.5);
      const T y = T(kQuadrantEdge * (q / 2) + part / 2) + T(0.5);
      T u, v;
      static_cast<void>(splat_exponent(w, entry.log2_opacity, x - entry.x, y - entry.y, u, v));
      // Sums of g a, g b, g a^2, g a b, g b^2 with (a, b) the whitened offset from the part's first pixel.
      const T a = w.xx * m[1] + w.xy * m[2], b = w.yy * m[2];
      const T of_x = w.xx * m[3] + w.xy * m[4], of_y = w.xx * m[4] + w.xy * m[5];
      const T aa = w.xx * of_x + w.xy * of_y, ab = w.yy * of_y, bb = w.yy * w.yy * m[5];
      sums[0] = m[0], sums[1] = vfma(u, m[0], a), sums[2] = vfma(v, m[0], b);
      sums[3] = vfma(u, sums[1] + a, aa);
      sums[4] = vfma(u, sums[2], vfma(v, a, ab));
      sums[5] = vfma(v, sums[2] + b, bb);
    }
    for (int k = 0; k < kChannelGroup; ++k) sums[kMoments + k] = c[k];
    for (int j = 0; j < kSumQuads; ++j)
      weight[Weights::swizzle(e, kParts * j + part)] = {sums[4 * j], sums[4 * j + 1], sums[4 * j + 2], sums[4 * j + 3]};
  }

  static DIFFMPM_HD void add_parts(Shared& s, int q, int e, const int* picked, int j) {
    Quad<T> sum = {};
    for (int part = 0; part < kParts; ++part) add(sum, s.weight[q].at[e][Weights::swizzle(e, kParts * j + part)]);
    s.sums[q][picked[e]][j] = sum;
  }

  // Four sums of entry m over the quadrants. The first group also fills the row's padding, or what the next group overwrites.
  static DIFFMPM_HD void put_sums(const Shared& s, const Args& a, int m, int j, int group) {
    Quad<T> sum = {};
    for (int q = 0; q < kQuadrants; ++q)
      if (s.hits[q] >> m & 1) add(sum, s.sums[q][m][j]);
    Quad<T>* const row = sums_row(a, s.entries[m].slot);
    if (group == 0) {
      if (4 * j < sums_width(a.view.in.channels)) row[j] = sum;
      return;
    }
    for (int i = 0; i < 4; ++i) {
      const int channel = group + 4 * j + i - kMoments;
      if (4 * j + i >= kMoments && channel <= a.view.in.channels)
        row[(kMoments + channel) / 4].v[(kMoments + channel) % 4] = sum.v[i];
    }
  }

  static DIFFMPM_HD void add(Quad<T>& sum, const Quad<T>& term) {
    for (int i = 0; i < 4; ++i) sum.v[i] += term.v[i];
  }
};

}  // namespace diffmpm::cuda
