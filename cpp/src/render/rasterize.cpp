// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/render/rasterize.hpp"

#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "diffmpm/core/threads.hpp"
#include "diffmpm/render/tile.hpp"
#include "rasterize_impl.hpp"
#include "sort.hpp"

namespace diffmpm {
namespace {

// Positions in a tile's list are kept in T: float32 counts to here.
constexpr std::int64_t kMostEntriesOfTile = std::int64_t{1} << 24;

// Bits of a depth above 0, which order like the depths.
template <class T>
using DepthKey = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

template <class T>
DepthKey<T> depth_key(T depth) {
  DepthKey<T> key;
  std::memcpy(&key, &depth, sizeof(key));
  return key;
}

std::size_t size_of(std::int64_t count) { return static_cast<std::size_t>(count); }

// Visible Gaussians, front to back, ties by index.
template <class T>
std::vector<std::uint32_t> depth_order(const View<T>& view, std::int64_t count, int threads) {
  std::vector<std::uint32_t> order;
  order.reserve(size_of(count));
  for (std::int64_t g = 0; g < count; ++g)
    if (view.status.data()[g] == SplatStatus::visible) order.push_back(static_cast<std::uint32_t>(g));
  std::vector<std::uint32_t> other(order.size());
  std::vector<DepthKey<T>> keys(order.size()), other_keys(order.size());
  for (std::size_t n = 0; n < order.size(); ++n) keys[n] = depth_key(view.splats.data()[order[n]].depth);
  std::uint32_t *values = order.data(), *other_values = other.data();
  DepthKey<T>*first = keys.data(), *second = other_keys.data();
  radix_sort(static_cast<std::int64_t>(order.size()), first, values, second, other_values, threads);
  return values == order.data() ? order : other;
}

}  // namespace

void require_entries(std::int64_t count) {
  constexpr const char* kRemedy = "make them or the image smaller, or leave out those that cover all of it";
  if (count > std::numeric_limits<std::uint32_t>::max())
    throw std::invalid_argument(
        std::string("means: expected Gaussians that reach at most 4294967295 tiles together, got more; ") + kRemedy);
  // The lists, and the arrays that they are sorted through.
  constexpr double kEntryBytes = sizeof(TileEntry) + sizeof(std::uint32_t) + sizeof(std::uint16_t);
  require_memory(kEntryBytes * static_cast<double>(count),
                 "means: expected Gaussians whose tiles' lists fit into half of the free memory", kRemedy);
}

template <class T>
CpuRasterization<T>::CpuRasterization(const RasterInput<T>& input)
    : in(input),
      viewmats(in.viewmats, in.viewmats + 16 * in.cameras),
      intrinsics(in.intrinsics, in.intrinsics + 9 * in.cameras),
      table(render_kernels<T>()),
      tiles_x((in.width + kTileEdge - 1) / kTileEdge),
      tiles_y((in.height + kTileEdge - 1) / kTileEdge),
      views(in.cameras),
      statuses(in.cameras * kStatusCount),
      entries(in.cameras) {
  in.viewmats = viewmats.data(), in.intrinsics = intrinsics.data();
  const std::int64_t image = in.cameras * pixels(), splats = in.cameras * in.count;
  drawn.color = Buffer<T>(size_of(image * in.channels));
  drawn.alpha = Buffer<T>(size_of(image)), drawn.depth = Buffer<T>(size_of(image));
  drawn.means2d = Buffer<T>(size_of(2 * splats)), drawn.extents = Buffer<T>(size_of(2 * splats));
  drawn.depths = Buffer<T>(size_of(splats));
  const int threads = thread_count();
  const Buffer<T> scratch = make_scratch(threads);
  for (int c = 0; c < in.cameras; ++c) render(c, threads, scratch);
  drawn.status_counts = Buffer<std::int64_t>(statuses.size());
  drawn.entry_counts = Buffer<std::int64_t>(entries.size());
  std::copy(statuses.begin(), statuses.end(), drawn.status_counts.data());
  std::copy(entries.begin(), entries.end(), drawn.entry_counts.data());
}

template <class T>
Buffer<T> CpuRasterization<T>::make_scratch(int threads) const {
  return Buffer<T>(size_of(threads * table.scratch_size(in.channels + 1)));
}

template <class T>
ViewArgs<T> CpuRasterization<T>::view_args(int camera, int threads, const Buffer<T>& scratch) const {
  const View<T>& view = views[camera];
  ViewArgs<T> a;
  a.input = &in, a.camera = camera, a.threads = threads;
  a.tiles_x = tiles_x, a.tiles_y = tiles_y, a.channels = in.channels + 1;
  a.splats = view.splats.data(), a.status = view.status.data(), a.hits = view.hits.data();
  a.entries = view.entries.data(), a.tile_begin = view.tile_begin.data();
  a.scratch = scratch.data(), a.scratch_size = table.scratch_size(a.channels);
  a.end = view.end.data(), a.transmittance = view.transmittance.data();
  a.means2d = drawn.means2d.data() + 2 * camera * in.count, a.extents = drawn.extents.data() + 2 * camera * in.count;
  a.depths = drawn.depths.data() + camera * in.count;
  a.color = drawn.color.data() + camera * pixels() * in.channels;
  a.alpha = drawn.alpha.data() + camera * pixels(), a.depth = drawn.depth.data() + camera * pixels();
  return a;
}

template <class T>
void CpuRasterization<T>::count_status(int camera) {
  const SplatStatus* status = views[camera].status.data();
  std::int64_t* counts = statuses.data() + camera * kStatusCount;
  for (std::int64_t g = 0; g < in.count; ++g) ++counts[static_cast<int>(status[g])];
}

// Numbers of tiles to places of slots.
template <class T>
void CpuRasterization<T>::place_hits(int camera) {
  std::uint32_t* hits = views[camera].hits.data();
  std::int64_t total = 0;
  for (std::int64_t g = 0; g < in.count; ++g) {
    const std::uint32_t count = hits[g];
    hits[g] = static_cast<std::uint32_t>(total), total += count;
  }
  require_entries(total);
  hits[in.count] = static_cast<std::uint32_t>(total);
  entries[camera] = total;
}

// The tiles' lists: hits in the order of depth, moved to their tiles.
template <class T>
void CpuRasterization<T>::list_entries(ViewArgs<T>& a) {
  View<T>& view = views[a.camera];
  const std::int64_t count = entries[a.camera];
  const Buffer<std::uint32_t> hit_tiles(size_of(count));
  const Buffer<std::uint16_t> hit_cells(size_of(count));
  a.hit_tiles = hit_tiles.data(), a.hit_cells = hit_cells.data();
  table.list_hits(a);
  const std::vector<std::uint32_t> order = depth_order(view, in.count, a.threads);
  view.entries = Buffer<TileEntry>(size_of(count));
  view.tile_begin = Buffer<std::uint32_t>(size_of(tiles() + 1));
  std::vector<std::uint32_t> counts(size_of(a.threads * tiles()));
  const auto visible = static_cast<std::int64_t>(order.size());
  parallel_ranges(visible, a.threads, [&](int t, std::int64_t begin, std::int64_t end) {
    std::uint32_t* own = counts.data() + t * tiles();
    SparsePoll sparse_poll;
    for (std::int64_t n = begin; n < end; ++n) {
      const std::uint32_t g = order[size_of(n)];
      sparse_poll(a.hits[g + 1] - a.hits[g]);
      for (std::uint32_t slot = a.hits[g]; slot < a.hits[g + 1]; ++slot) ++own[a.hit_tiles[slot]];
    }
  });
  counts_to_places(counts, tiles(), a.threads);
  std::copy_n(counts.data(), tiles(), view.tile_begin.data());
  view.tile_begin.data()[tiles()] = static_cast<std::uint32_t>(count);
  TileEntry* out = view.entries.data();
  parallel_ranges(visible, a.threads, [&](int t, std::int64_t begin, std::int64_t end) {
    std::uint32_t* own = counts.data() + t * tiles();
    SparsePoll sparse_poll;
    for (std::int64_t n = begin; n < end; ++n) {
      const std::uint32_t g = order[size_of(n)];
      sparse_poll(a.hits[g + 1] - a.hits[g]);
      for (std::uint32_t slot = a.hits[g]; slot < a.hits[g + 1]; ++slot)
        out[own[a.hit_tiles[slot]]++] = {g, slot, a.hit_cells[slot]};
    }
  });
  for (std::int64_t n = 0; sizeof(T) == 4 && n < tiles(); ++n)
    if (std::int64_t{view.tile_begin.data()[n + 1]} - view.tile_begin.data()[n] > kMostEntriesOfTile)
      throw std::invalid_argument("means: expected at most 16777216 Gaussians in a tile, got more; pass float64");
}

template <class T>
void CpuRasterization<T>::render(int camera, int threads, const Buffer<T>& scratch) {
  View<T>& view = views[camera];
  view.splats = Buffer<Splat<T>>(size_of(in.count)), view.status = Buffer<SplatStatus>(size_of(in.count));
  view.hits = Buffer<std::uint32_t>(size_of(in.count + 1));
  view.end = Buffer<T>(size_of(tiles() * kTilePixels)), view.transmittance = Buffer<T>(size_of(tiles() * kTilePixels));
  ViewArgs<T> a = view_args(camera, threads, scratch);
  table.project(a);
  count_status(camera);
  place_hits(camera);
  poll();
  list_entries(a);
  a.entries = view.entries.data(), a.tile_begin = view.tile_begin.data();
  table.composite(a);
}

template <class T>
Rasterization<T>::Rasterization(const RasterInput<T>& input) : made_(std::make_unique<CpuRasterization<T>>(input)) {}

template struct CpuRasterization<float>;
template struct CpuRasterization<double>;
template class Rasterization<float>;
template class Rasterization<double>;

}  // namespace diffmpm
