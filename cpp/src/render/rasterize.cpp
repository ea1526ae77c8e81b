// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/render/rasterize.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "diffmpm/core/sort.hpp"
#include "diffmpm/core/threads.hpp"
#include "kernels.hpp"

namespace diffmpm {
namespace {

// Positions in the list of a tile are stored in T, and float32 represents integers up to here.
constexpr std::int64_t kMostEntriesOfTile = std::int64_t{1} << 24;

// Projected Gaussians and lists of one image.
template <class T>
struct View {
  Buffer<Splat<T>> splats;
  Buffer<SplatStatus> status;
  Buffer<std::uint32_t> hits;  // (N + 1), first slot of each Gaussian
  Buffer<TileEntry> entries;
  std::vector<std::uint32_t> tile_begin;
  Buffer<T> end, transmittance;
};

// Visible Gaussians, front to back, ties by index.
template <class T>
std::vector<std::uint32_t> depth_order(const View<T>& view, std::int64_t count, int threads) {
  std::vector<std::uint32_t> order;
  order.reserve(count);
  for (std::int64_t g = 0; g < count; ++g)
    if (view.status.data()[g] == SplatStatus::visible) order.push_back(static_cast<std::uint32_t>(g));
  std::vector<DepthKey<T>> keys(order.size());
  for (std::size_t n = 0; n < order.size(); ++n) keys[n] = depth_key(view.splats.data()[order[n]].depth);
  radix_sort(keys, order, threads);
  return order;
}

// Gaussians that are not visible and images without a cotangent contribute zeros.
template <class T>
void clear_gradients(const RasterInput<T>& in, const RasterGradients<T>& out) {
  visit_gradients(in, out, [](T* array, std::int64_t size) { std::fill_n(array, size, T(0)); });
  if (out.backgrounds) std::fill_n(out.backgrounds, in.cameras * in.channels, T(0));
  if (out.viewmats) std::fill_n(out.viewmats, 16 * in.cameras, 0.0);
}

// Adds the adjoints of the pose from all chunks, in their order, to a matrix (4, 4).
void add_pose(const Buffer<double>& chunk_pose, std::int64_t chunks, double* viewmat) {
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    const double* pose = chunk_pose.data() + chunk * kPoseValues;
    for (int r = 0; r < 3; ++r) {
      for (int s = 0; s < 3; ++s) viewmat[4 * r + s] += pose[3 * r + s];
      viewmat[4 * r + 3] += pose[9 + r];
    }
  }
}

template <class T>
void add_background(const Buffer<double>& tile_background, std::int64_t tiles, int channels, T* out) {
  for (int k = 0; k < channels; ++k) {
    double sum = 0;
    for (std::int64_t n = 0; n < tiles; ++n) sum += tile_background.data()[n * channels + k];
    out[k] = static_cast<T>(sum);
  }
}

template <class T>
class CpuRasterization : public Rasterization<T> {
 public:
  explicit CpuRasterization(const RasterInput<T>& input)
      : in_(input),
        viewmats_(in_.viewmats, in_.viewmats + 16 * in_.cameras),
        intrinsics_(in_.intrinsics, in_.intrinsics + 9 * in_.cameras),
        views_(in_.cameras) {
    in_.viewmats = viewmats_.data(), in_.intrinsics = intrinsics_.data();
    const std::int64_t image = in_.cameras * pixels(), splats = in_.cameras * in_.count;
    drawn_.color = Buffer<T>(image * in_.channels);
    drawn_.alpha = Buffer<T>(image), drawn_.depth = Buffer<T>(image);
    drawn_.means2d = Buffer<T>(2 * splats), drawn_.extents = Buffer<T>(2 * splats);
    drawn_.depths = Buffer<T>(splats);
    drawn_.status_counts = Buffer<std::int64_t>(in_.cameras * kStatusCount);
    drawn_.entry_counts = Buffer<std::int64_t>(in_.cameras);
    const int threads = thread_count();
    const Buffer<T> scratch = make_scratch(threads);
    for (int c = 0; c < in_.cameras; ++c) render(c, threads, scratch);
  }

  const RasterInput<T>& input() const override { return in_; }
  const DrawnImages<T>& images() const override { return drawn_; }
  std::vector<std::int64_t> status_counts() const override { return to_vector(drawn_.status_counts); }
  std::vector<std::int64_t> entry_counts() const override { return to_vector(drawn_.entry_counts); }

  void vjp(const RasterAdjoint<T>& adj, const RasterGradients<T>& out) const override {
    const int threads = thread_count();
    clear_gradients(in_, out);
    if (!adj.color && !adj.alpha && !adj.depth) return;
    const std::int64_t chunks = (in_.count + kPoseChunk - 1) / kPoseChunk;
    const Buffer<T> scratch = make_scratch(threads);
    const Buffer<double> chunk_pose(chunks * kPoseValues);
    Buffer<double> tile_background;
    if (out.backgrounds) tile_background = Buffer<double>(tiles() * in_.channels);
    Buffer<T> sums;
    for (int c = 0; c < in_.cameras; ++c) {
      const ViewArgs<T> a = view_args(c, threads, scratch);
      ViewAdjointArgs<T> v;
      const std::int64_t values = drawn_.entry_counts.data()[c] * (kMoments + a.channels);
      require_memory(static_cast<double>(sizeof(T)) * static_cast<double>(values),
                     "vjp: expected sums over the tile lists that fit into half of the free memory",
                     "make the Gaussians or the image smaller");
      sums.reserve(values);
      v.color = adj.color ? adj.color + c * pixels() * in_.channels : nullptr;
      v.alpha = adj.alpha ? adj.alpha + c * pixels() : nullptr;
      v.depth = adj.depth ? adj.depth + c * pixels() : nullptr;
      v.sums = sums.data(), v.chunk_pose = chunk_pose.data(), v.out = &out, v.accumulate = c > 0;
      v.tile_background = out.backgrounds ? tile_background.data() : nullptr;
      table_.composite_vjp(a, v);
      if (out.backgrounds) add_background(tile_background, tiles(), in_.channels, out.backgrounds + c * in_.channels);
      if (!out.of_splats()) continue;
      table_.project_vjp(a, v);
      if (out.viewmats) add_pose(chunk_pose, chunks, out.viewmats + 16 * c);
    }
  }

 private:
  static std::vector<std::int64_t> to_vector(const Buffer<std::int64_t>& values) {
    return {values.data(), values.data() + values.size()};
  }
  std::int64_t tiles() const { return static_cast<std::int64_t>(tiles_x_) * tiles_y_; }
  std::int64_t pixels() const { return static_cast<std::int64_t>(in_.width) * in_.height; }
  Buffer<T> make_scratch(int threads) const { return Buffer<T>(threads * table_.scratch_size(in_.channels + 1)); }

  ViewArgs<T> view_args(int camera, int threads, const Buffer<T>& scratch) const {
    const View<T>& view = views_[camera];
    ViewArgs<T> a;
    a.input = &in_, a.camera = camera, a.threads = threads;
    a.tiles_x = tiles_x_, a.tiles_y = tiles_y_, a.channels = in_.channels + 1;
    a.splats = view.splats.data(), a.status = view.status.data(), a.hits = view.hits.data();
    a.entries = view.entries.data(), a.tile_begin = view.tile_begin.data();
    a.scratch = scratch.data(), a.scratch_size = table_.scratch_size(a.channels);
    a.end = view.end.data(), a.transmittance = view.transmittance.data();
    a.projected = {drawn_.means2d.data() + 2 * camera * in_.count, drawn_.extents.data() + 2 * camera * in_.count,
                   drawn_.depths.data() + camera * in_.count};
    a.color = drawn_.color.data() + camera * pixels() * in_.channels;
    a.alpha = drawn_.alpha.data() + camera * pixels(), a.depth = drawn_.depth.data() + camera * pixels();
    return a;
  }

  // Counts the statuses, and replaces the number of tiles of each Gaussian by its first slot.
  void assign_slots(int camera) {
    const SplatStatus* status = views_[camera].status.data();
    std::uint32_t* hits = views_[camera].hits.data();
    std::int64_t* counts = drawn_.status_counts.data() + camera * kStatusCount;
    std::fill_n(counts, kStatusCount, 0);
    std::int64_t total = 0;
    for (std::int64_t g = 0; g < in_.count; ++g) {
      ++counts[static_cast<int>(status[g])];
      const std::uint32_t count = hits[g];
      hits[g] = static_cast<std::uint32_t>(total), total += count;
    }
    require_entries(total);
    hits[in_.count] = static_cast<std::uint32_t>(total);
    drawn_.entry_counts.data()[camera] = total;
  }

  // Lists of the tiles: the slots in the order of depth, sorted by tile.
  void list_entries(ViewArgs<T>& a) {
    View<T>& view = views_[a.camera];
    const std::int64_t count = drawn_.entry_counts.data()[a.camera];
    const Buffer<std::uint32_t> hit_tiles(count);
    const Buffer<std::uint16_t> hit_cells(count);
    a.hit_tiles = hit_tiles.data(), a.hit_cells = hit_cells.data();
    table_.list_hits(a);
    const std::vector<std::uint32_t> order = depth_order(view, in_.count, a.threads);
    view.entries = Buffer<TileEntry>(count);
    view.tile_begin = counting_sort(
        static_cast<std::int64_t>(order.size()), tiles(), a.threads,
        [&](std::int64_t begin, std::int64_t end, const auto& emit) {
          SparsePoll sparse_poll;
          for (std::int64_t n = begin; n < end; ++n) {
            const std::uint32_t g = order[n];
            sparse_poll(a.hits[g + 1] - a.hits[g]);
            for (std::uint32_t slot = a.hits[g]; slot < a.hits[g + 1]; ++slot)
              emit(a.hit_tiles[slot], TileEntry{g, slot, a.hit_cells[slot]});
          }
        },
        [out = view.entries.data()](std::uint32_t position, const TileEntry& entry) { out[position] = entry; });
    for (std::int64_t n = 0; sizeof(T) == 4 && n < tiles(); ++n)
      if (view.tile_begin[n + 1] - view.tile_begin[n] > kMostEntriesOfTile)
        throw std::invalid_argument("means: expected at most 16777216 Gaussians in a tile, got more; pass float64");
  }

  void render(int camera, int threads, const Buffer<T>& scratch) {
    View<T>& view = views_[camera];
    view.splats = Buffer<Splat<T>>(in_.count), view.status = Buffer<SplatStatus>(in_.count);
    view.hits = Buffer<std::uint32_t>(in_.count + 1);
    view.end = Buffer<T>(tiles() * kTilePixels), view.transmittance = Buffer<T>(tiles() * kTilePixels);
    ViewArgs<T> a = view_args(camera, threads, scratch);
    table_.project(a);
    assign_slots(camera);
    poll();
    list_entries(a);
    a.entries = view.entries.data(), a.tile_begin = view.tile_begin.data();
    table_.composite(a);
  }

  RasterInput<T> in_;
  std::vector<double> viewmats_, intrinsics_;
  const RenderKernels<T>& table_ = isa_table<RenderKernels<T>>();
  int tiles_x_ = tiles_along(in_.width), tiles_y_ = tiles_along(in_.height);
  std::vector<View<T>> views_;
  DrawnImages<T> drawn_;
};

}  // namespace

void require_entries(std::int64_t count) {
  constexpr const char* kRemedy = "make them or the image smaller, or leave out those that cover all of it";
  if (count > std::numeric_limits<std::uint32_t>::max())
    throw std::invalid_argument(
        std::string("means: expected Gaussians that reach at most 4294967295 tiles together, got more; ") + kRemedy);
  // The lists, and the arrays that they are sorted from.
  constexpr double kEntryBytes = sizeof(TileEntry) + sizeof(std::uint32_t) + sizeof(std::uint16_t);
  require_memory(kEntryBytes * static_cast<double>(count),
                 "means: expected Gaussians whose tile lists fit into half of the free memory", kRemedy);
}

template <class T>
const RenderFunctions<T>& RenderFunctions<T>::host() {
  static constexpr RenderFunctions kTable{
      [](const Context&, const RasterInput<T>& input) -> std::unique_ptr<Rasterization<T>> {
        return std::make_unique<CpuRasterization<T>>(input);
      }};
  return kTable;
}

template const RenderFunctions<float>& RenderFunctions<float>::host();
template const RenderFunctions<double>& RenderFunctions<double>::host();

}  // namespace diffmpm
