// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <limits>
#include <stdexcept>
#include <vector>

#include "core/sums.cuh"
#include "render/composite.cuh"
#include "render/project_vjp.cuh"

// The images of one call on a device. Once, for the length of the lists, the host waits.

namespace diffmpm::cuda {

template <class T, class Queue>
class DeviceRasterization : public AnyRasterization<T> {
 public:
  DeviceRasterization(const RasterInput<T>& input, Queue queue) : queue_(std::move(queue)), in_(input) {
    in_.viewmats = in_.intrinsics = nullptr;  // the caller's; what is needed of them is in the cameras
    std::vector<Camera<double>> cameras;
    for (int c = 0; c < in_.cameras; ++c)
      cameras.push_back(make_camera<double>(input.viewmats + 16 * c, input.intrinsics + 9 * c, in_.width, in_.height));
    allocate();
    queue_.from_host(cameras_.data(), cameras.data(), in_.cameras);
    list();
    queue_.template launch<Composite<T>>(
        in_.cameras * view_.tiles(),
        {view_, end_.data(), transmittance_.data(), drawn_.color.data(), drawn_.alpha.data(), drawn_.depth.data()});
  }

  const RasterInput<T>& input() const override { return in_; }
  const DrawnImages<T>& images() const override { return drawn_; }

  std::vector<std::int64_t> status_counts() const override {
    std::vector<std::int64_t> status;
    for (std::size_t n = 0; const std::int64_t count : to_host(drawn_.counts.data(), counts()))
      if (n++ % (kStatusCount + 1) < kStatusCount) status.push_back(count);
    return status;
  }
  std::vector<std::int64_t> entry_counts() const override {
    std::vector<std::int64_t> entries;
    for (std::size_t n = 0; const std::int64_t count : to_host(drawn_.counts.data(), counts()))
      if (n++ % (kStatusCount + 1) == kStatusCount) entries.push_back(count);
    return entries;
  }

  void vjp(const RasterAdjoint<T>& adj, const RasterGradients<T>& out) const override {
    clear_gradients(out);
    if (!adj.color && !adj.alpha && !adj.depth) return;
    if (out.backgrounds && adj.color)
      queue_.template launch<BackgroundVjp<T>>(std::int64_t{in_.cameras} * in_.channels,
                                               {view_, transmittance_.data(), adj.color, out.backgrounds});
    const bool of_gaussians =
        out.means || out.covars || out.quats || out.scales || out.opacities || out.colors || out.viewmats;
    if (!of_gaussians || in_.count == 0) return;
    const std::int64_t values = entries_ * (kMoments + in_.channels + 1);
    const auto sums = queue_.template allocate<T>(values);
    queue_.clear(sums.data(), values);
    queue_.template launch<CompositeVjp<T>>(
        in_.cameras * view_.tiles(),
        {view_, end_.data(), transmittance_.data(), adj.color, adj.alpha, adj.depth, sums.data()});
    const std::int64_t blocks = (in_.count + kThreads - 1) / kThreads;
    const auto poses = queue_.template allocate<Pose>(in_.cameras * (blocks + 1));
    queue_.template launch<ProjectVjp<T>>(blocks, {view_, sums.data(), out, out.viewmats ? poses.data() : nullptr});
    if (out.viewmats) put_poses(blocks, poses.data(), out.viewmats);
  }

 private:
  std::int64_t counts() const { return std::int64_t{in_.cameras} * (kStatusCount + 1); }
  template <class V>
  std::vector<V> to_host(const V* values, std::int64_t count) const {
    std::vector<V> out(static_cast<std::size_t>(count));
    queue_.to_host(out.data(), values, count);
    return out;
  }

  void allocate() {
    view_.in = in_;
    view_.tiles_x = tiles_along(in_.width), view_.tiles_y = tiles_along(in_.height);
    const std::int64_t splats = view_.splat_count(), tiles = in_.cameras * view_.tiles();
    const std::int64_t pixels = in_.cameras * view_.pixels();
    if (splats > std::numeric_limits<Index>::max() || tiles * kTilePixels > std::numeric_limits<Index>::max())
      throw std::invalid_argument(
          "means: expected at most 2147483647 Gaussians and pixels in all images together on a device, got more; draw "
          "fewer images at a time");
    cameras_ = queue_.template allocate<Camera<double>>(in_.cameras);
    splats_ = queue_.template allocate<Splat<T>>(splats);
    status_ = queue_.template allocate<SplatStatus>(splats);
    slots_ = queue_.template allocate<Index>(2 * splats);
    tile_begin_ = queue_.template allocate<Index>(tiles + 1);
    end_ = queue_.template allocate<T>(tiles * kTilePixels);
    transmittance_ = queue_.template allocate<T>(tiles * kTilePixels);
    drawn_.color = queue_.template allocate<T>(pixels * in_.channels);
    drawn_.alpha = queue_.template allocate<T>(pixels), drawn_.depth = queue_.template allocate<T>(pixels);
    drawn_.means2d = queue_.template allocate<T>(2 * splats), drawn_.extents = queue_.template allocate<T>(2 * splats);
    drawn_.depths = queue_.template allocate<T>(splats);
    drawn_.counts = queue_.template allocate<std::int64_t>(counts());
    view_.cameras = cameras_.data(), view_.splats = splats_.data(), view_.status = status_.data();
    view_.slots = slots_.data(), view_.tile_begin = tile_begin_.data();
  }

  // The tiles' lists.
  void list() {
    const std::int64_t splats = view_.splat_count(), tiles = in_.cameras * view_.tiles();
    const auto hits = queue_.template allocate<Index>(splats);
    const auto order = queue_.template allocate<Index>(splats);
    const auto ends = queue_.template allocate<std::int64_t>(splats);
    const auto keys = queue_.template allocate<std::uint64_t>(splats);
    queue_.for_all(ProjectSplats<T>{splats, in_, cameras_.data(), splats_.data(), status_.data(), hits.data(),
                                    keys.data(), order.data(), drawn_.means2d.data(), drawn_.extents.data(),
                                    drawn_.depths.data()});
    std::int64_t entries = 0;
    if (splats > 0) {
      queue_.sort_pairs(keys.data(), order.data(), splats, 8 * static_cast<int>(sizeof(T)));
      queue_.for_all(OrderHits{splats, order.data(), hits.data(), ends.data()});
      queue_.inclusive_sum(ends.data(), splats);
      queue_.to_host(&entries, ends.data() + splats - 1, 1);
    }
    if (entries > std::numeric_limits<Index>::max()) refuse_lists();
    entries_ = entries;
    const auto tile_keys = queue_.template allocate<std::uint64_t>(entries);
    entry_slots_ = queue_.template allocate<Index>(entries), slot_splats_ = queue_.template allocate<Index>(entries);
    slot_cells_ = queue_.template allocate<std::uint16_t>(entries);
    queue_.for_all(ListHits<T>{splats, in_, view_.tiles(), splats_.data(), order.data(), ends.data(), slots_.data(),
                               tile_keys.data(), entry_slots_.data(), slot_splats_.data(), slot_cells_.data()});
    if (entries > 0)
      queue_.sort_pairs(tile_keys.data(), entry_slots_.data(), entries,
                        std::bit_width(static_cast<std::uint64_t>(tiles)));
    queue_.for_all(TileBegins{tiles + 1, tile_keys.data(), static_cast<Index>(entries), tile_begin_.data()});
    view_.entry_slots = entry_slots_.data(), view_.slot_splats = slot_splats_.data();
    view_.slot_cells = slot_cells_.data();
    queue_.template launch<CountSplats>(
        in_.cameras, {in_.count, view_.tiles(), status_.data(), tile_begin_.data(), drawn_.counts.data()});
    if (sizeof(T) == 4 && entries > kMostEntriesOfTile) check_lists();
  }

  [[noreturn]] static void refuse_lists() {
    throw std::invalid_argument(
        "means: expected Gaussians that reach at most 2147483647 tiles together on a device, got more; make them or "
        "the "
        "images smaller");
  }
  void check_lists() const {
    const std::vector<Index> begins = to_host(tile_begin_.data(), in_.cameras * view_.tiles() + 1);
    for (std::size_t n = 1; n < begins.size(); ++n)
      if (begins[n] - begins[n - 1] > kMostEntriesOfTile)
        throw std::invalid_argument("means: expected at most 16777216 Gaussians in a tile, got more; pass float64");
  }

  void clear_gradients(const RasterGradients<T>& out) const {
    const auto clear = [&](T* values, std::int64_t count) {
      if (values) queue_.clear(values, count);
    };
    clear(out.means, 3 * in_.count), clear(out.covars, 9 * in_.count), clear(out.quats, 4 * in_.count);
    clear(out.scales, 3 * in_.count), clear(out.opacities, in_.count);
    clear(out.colors, in_.count * in_.channels * (in_.colors_per_camera ? in_.cameras : 1));
    clear(out.backgrounds, std::int64_t{in_.cameras} * in_.channels);
    if (out.viewmats) std::fill_n(out.viewmats, 16 * in_.cameras, 0.0);
  }

  void put_poses(std::int64_t blocks, Pose* poses, double* viewmats) const {
    Pose* const totals = poses + in_.cameras * blocks;
    queue_.template launch<SumTerms<StoredTerm<Pose>>>(in_.cameras, {in_.cameras * blocks, blocks, {poses}, totals});
    const std::vector<Pose> host = to_host(totals, in_.cameras);
    for (std::size_t c = 0; c < host.size(); ++c)
      for (std::size_t r = 0; r < 3; ++r) {
        for (std::size_t k = 0; k < 3; ++k) viewmats[16 * c + 4 * r + k] = host[c].v[3 * r + k];
        viewmats[16 * c + 4 * r + 3] = host[c].v[9 + r];
      }
  }

  static constexpr std::int64_t kMostEntriesOfTile = std::int64_t{1} << 24;  // positions in a list are kept in T

  mutable Queue queue_;
  RasterInput<T> in_;
  RasterView<T> view_{};
  DrawnImages<T> drawn_;
  std::int64_t entries_ = 0;
  Buffer<Camera<double>> cameras_;
  Buffer<Splat<T>> splats_;
  Buffer<SplatStatus> status_;
  Buffer<Index> slots_, entry_slots_, slot_splats_, tile_begin_;
  Buffer<std::uint16_t> slot_cells_;
  Buffer<T> end_, transmittance_;
};

}  // namespace diffmpm::cuda
