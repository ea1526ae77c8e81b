// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/block.cuh"
#include "diffmpm/mpm/params.hpp"
#include "diffmpm/render/splat.hpp"

// From Gaussians to the lists of the tiles, for all images of a call at once: Gaussian n of image c is number c N + n, tile t of
// it number c tiles + t. Lists come from two stable sorts: Gaussians by depth, then their entries by tile.

namespace diffmpm::cuda {

// What the kernels of a call know.
template <class T>
struct RasterView {
  RasterInput<T> in;  // arrays of the device; viewmats and intrinsics are not read
  const Camera<double>* cameras;
  int tiles_x, tiles_y;
  const Splat<T>* splats;     // (C N)
  const SplatStatus* status;  // (C N)
  const Index* slots;         // (C N, 2): first of a Gaussian's entries, and one past the last, in the order of depth
  const Index* entry_slots;   // (entries): by tile, front to back
  const Index* slot_splats;   // (entries): Gaussian of a slot
  const std::uint16_t* slot_cells;  // (entries): cells of the tile that it reaches
  const Index* tile_begin;          // (C tiles + 1)

  DIFFMPM_HD std::int64_t splat_count() const { return in.count * in.cameras; }
  DIFFMPM_HD std::int64_t tiles() const { return std::int64_t{tiles_x} * tiles_y; }
  DIFFMPM_HD std::int64_t pixels() const { return std::int64_t{in.width} * in.height; }
};

// Bits of a depth above 0 order like the depths; what is not visible comes last.
template <class T>
DIFFMPM_HD std::uint64_t depth_bits(T depth) {
  return std::bit_cast<std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>(depth);
}

template <class T>
struct ProjectSplats {
  std::int64_t count;
  RasterInput<T> in;
  const Camera<double>* cameras;
  Splat<T>* splats;
  SplatStatus* status;
  Index* hits;
  std::uint64_t* keys;
  Index* order;
  T *means2d, *extents, *depths;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    const int view = static_cast<int>(n / in.count);
    Splat<T> splat{};
    SplatStatus found = project_splat(in, view, cameras[view], n % in.count, splat);
    Index reached = 0;
    T extent[2] = {T(0), T(0)};
    if (found == SplatStatus::outside) {
      const Ellipse<T> e = ellipse_of(splat);
      visit_tiles(in, e, splat.x, splat.y, [&](std::uint32_t, unsigned) { ++reached; });
      if (reached > 0) found = SplatStatus::visible, extent[0] = e.extent[0], extent[1] = e.extent[1];
    }
    splats[n] = splat, status[n] = found, hits[n] = reached;
    keys[n] = found == SplatStatus::visible ? depth_bits(splat.depth) : depth_bits(std::numeric_limits<T>::infinity());
    order[n] = static_cast<Index>(n);
    means2d[2 * n] = static_cast<T>(splat.x), means2d[2 * n + 1] = static_cast<T>(splat.y);
    extents[2 * n] = extent[0], extents[2 * n + 1] = extent[1];
    depths[n] = splat.depth;
  }
};

// The numbers of tiles, in the order of depth.
struct OrderHits {
  std::int64_t count;
  const Index *order, *hits;
  std::int64_t* ordered;  // summed next: all tiles of all Gaussians may be more than an Index counts

  DIFFMPM_HD void operator()(std::int64_t m) const { ordered[m] = hits[order[m]]; }
};

template <class T>
struct ListHits {
  std::int64_t count;
  RasterInput<T> in;
  std::int64_t tiles;
  const Splat<T>* splats;
  const Index* order;
  const std::int64_t* ends;  // sums of the ordered hits, which an Index counts
  Index* slots;
  std::uint64_t* keys;
  Index *entry_slots, *slot_splats;
  std::uint16_t* slot_cells;

  DIFFMPM_HD void operator()(std::int64_t m) const {
    const Index n = order[m], begin = m > 0 ? static_cast<Index>(ends[m - 1]) : 0, end = static_cast<Index>(ends[m]);
    slots[2 * std::int64_t{n}] = begin, slots[2 * std::int64_t{n} + 1] = end;
    if (begin == end) return;
    const Splat<T>& splat = splats[n];
    const auto first_tile = static_cast<std::uint64_t>(n / in.count * tiles);
    Index slot = begin;
    visit_tiles(in, ellipse_of(splat), splat.x, splat.y, [&](std::uint32_t tile, unsigned mask) {
      keys[slot] = first_tile + tile, entry_slots[slot] = slot;
      slot_splats[slot] = n, slot_cells[slot] = static_cast<std::uint16_t>(mask);
      ++slot;
    });
  }
};

// What became of the Gaussians of an image, and its entries: one block an image.
struct CountSplats {
  struct Args {
    std::int64_t count, tiles;
    const SplatStatus* status;
    const Index* tile_begin;
    std::int64_t* out;  // (C, kStatusCount + 1)
  };
  struct Counts {
    std::int64_t of[kStatusCount];
    DIFFMPM_HD Counts& operator+=(const Counts& o) {
      for (int n = 0; n < kStatusCount; ++n) of[n] += o.of[n];
      return *this;
    }
  };
  struct Shared {
    Counts scratch[kThreads];
  };

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a) {
    const SplatStatus* status = a.status + block.index() * a.count;
    fold(block, s.scratch, static_cast<int>(a.count), [&](int n) {
      Counts one{};
      for (int k = 0; k < kStatusCount; ++k) one.of[k] = static_cast<int>(status[n]) == k ? 1 : 0;
      return one;
    });
    block.for_each(kStatusCount + 1, [&](int k) {
      std::int64_t* out = a.out + std::int64_t{block.index()} * (kStatusCount + 1);
      const Index* begin = a.tile_begin + block.index() * a.tiles;
      out[k] = k < kStatusCount ? s.scratch[0].of[k] : std::int64_t{begin[a.tiles]} - begin[0];
    });
  }
};

// Where each tile's entries begin among the sorted keys.
struct TileBegins {
  std::int64_t count;  // tiles + 1
  const std::uint64_t* keys;
  Index entries;
  Index* begin;

  DIFFMPM_HD void operator()(std::int64_t tile) const {
    Index first = 0, last = entries;
    while (first < last) {
      const Index middle = first + (last - first) / 2;
      if (keys[middle] < static_cast<std::uint64_t>(tile)) {
        first = middle + 1;
      } else {
        last = middle;
      }
    }
    begin[tile] = first;
  }
};

}  // namespace diffmpm::cuda
