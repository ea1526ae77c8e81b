// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <limits>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <vector>

#include "core/pairs.cuh"
#include "core/sums.cuh"
#include "render/composite.cuh"
#include "render/project_vjp.cuh"

// The images of one call on a device. The host waits once, for the length of the lists.

namespace diffmpm::cuda {

template <class T, class Queue>
class DeviceRasterization : public Rasterization<T> {
 public:
  DeviceRasterization(const RasterInput<T>& input, Queue queue) : queue_(std::move(queue)), in_(input) {
    in_.viewmats = in_.intrinsics = nullptr;  // memory of the caller; replaced by cameras_
    allocate();
    make_cameras(input);
    list(input);
    with_channels([&](auto many) {
      queue_.template launch<Composite<T, many>>(
          in_.cameras * view_.tiles(),
          {view_, end_.data(), transmittance_.data(), drawn_.color.data(), drawn_.alpha.data(), drawn_.depth.data()});
    });
    count();
  }

  const RasterInput<T>& input() const override { return in_; }
  const DrawnImages<T>& images() const override { return drawn_; }

  std::vector<std::int64_t> status_counts() const override {
    return to_host(drawn_.status_counts.data(), std::int64_t{in_.cameras} * kStatusCount);
  }
  std::vector<std::int64_t> entry_counts() const override { return to_host(drawn_.entry_counts.data(), in_.cameras); }

  void vjp(const RasterAdjoint<T>& adj, const RasterGradients<T>& out) const override {
    if (out.backgrounds) background_vjp(adj, out.backgrounds);
    if (in_.count == 0 || !(adj.color || adj.alpha || adj.depth)) return clear_gradients(out);
    if (!out.of_splats()) return;
    const std::int64_t blocks = (in_.count + kThreads - 1) / kThreads;
    const auto [sums, poses] = allocate_together<T, Pose>(queue_, entries_ * sums_width(in_.channels),
                                                          out.viewmats ? in_.cameras * (blocks + 1) : 0);
    T* const rows = sums.data();
    with_channels([&](auto many) {
      queue_.template launch<CompositeVjp<T, many>>(
          in_.cameras * view_.tiles(),
          {view_, end_.data(), transmittance_.data(), adj.color, adj.alpha, adj.depth, rows});
    });
    if (!out.viewmats) return queue_.template launch<ProjectVjp<T, false>>(blocks, {view_, sums.data(), out, nullptr});
    queue_.template launch<ProjectVjp<T, true>>(blocks, {view_, sums.data(), out, poses.data()});
    put_poses(blocks, poses.data(), out.viewmats);
  }

 private:
  // Calls launch(many): whether there are more channels than one pass over the lists composites, at compile time.
  template <class Launch>
  void with_channels(const Launch& launch) const {
    if (in_.channels + 1 > kChannelGroup) {
      launch(std::true_type());
    } else {
      launch(std::false_type());
    }
  }

  template <class V>
  std::vector<V> to_host(const V* values, std::int64_t count) const {
    std::vector<V> out(count);
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
    std::tie(cameras_, splats_, status_, splat_slots_, tile_begin_, end_, transmittance_) =
        allocate_together<Camera<double>, DeviceSplat<T>, SplatStatus, Index, Index, Index, T>(
            queue_, in_.cameras, splats, splats, 2 * splats, tiles + 1, tiles * kTilePixels, tiles * kTilePixels);
    std::tie(drawn_.color, drawn_.alpha, drawn_.depth, drawn_.means2d, drawn_.extents, drawn_.depths,
             drawn_.status_counts, drawn_.entry_counts) =
        allocate_together<T, T, T, T, T, T, std::int64_t, std::int64_t>(queue_, pixels * in_.channels, pixels, pixels,
                                                                        2 * splats, 2 * splats, splats,
                                                                        in_.cameras * kStatusCount, in_.cameras);
    view_.cameras = cameras_.data(), view_.splats = splats_.data(), view_.depths = drawn_.depths.data();
    view_.status = status_.data();
    view_.splat_slots = splat_slots_.data(), view_.tile_begin = tile_begin_.data();
  }

  void make_cameras(const RasterInput<T>& input) {
    if (input.cameras_on_device) {
      queue_.for_all(
          MakeCameras{in_.cameras, input.viewmats, input.intrinsics, in_.width, in_.height, cameras_.data()});
      return;
    }
    std::vector<Camera<double>> cameras;
    for (int c = 0; c < in_.cameras; ++c)
      cameras.push_back(make_camera<double>(input.viewmats + 16 * c, input.intrinsics + 9 * c, in_.width, in_.height));
    queue_.from_host(cameras_.data(), cameras.data(), in_.cameras);
  }

  // Makes the lists of the tiles.
  void list(const RasterInput<T>& input) {
    const std::int64_t splats = view_.splat_count(), tiles = in_.cameras * view_.tiles();
    // After the ends of the lists: the number of invalid cameras.
    const auto [hits, ends, keys, order, spare_keys, spare_order] =
        allocate_together<Index, std::int64_t, DepthKey<T>, Index, DepthKey<T>, Index>(queue_, splats, splats + 1,
                                                                                       splats, splats, splats, splats);
    Pairs<DepthKey<T>> by_depth = {keys.data(), order.data()};
    queue_.for_all(ProjectSplats<T>{splats,
                                    in_,
                                    cameras_.data(),
                                    splats_.data(),
                                    status_.data(),
                                    hits.data(),
                                    by_depth,
                                    {drawn_.means2d.data(), drawn_.extents.data(), drawn_.depths.data()}});
    std::int64_t counts[2] = {};
    if (splats > 0) {
      by_depth = queue_.sort(by_depth, {spare_keys.data(), spare_order.data()}, splats, kDepthBits<T>);
      queue_.for_all(OrderHits{splats, by_depth.values, hits.data(), ends.data()});
      queue_.inclusive_sum(ends.data(), splats);
      if (input.cameras_on_device)
        queue_.for_all(CountInvalid{1, in_.cameras, input.viewmats, input.intrinsics, ends.data() + splats});
      queue_.to_host(counts, ends.data() + splats - 1, input.cameras_on_device ? 2 : 1);
    }
    const std::int64_t entries = counts[0];
    if (counts[1] > 0) refuse_cameras();
    if (entries > std::numeric_limits<Index>::max()) refuse_lists();
    entries_ = entries;
    std::tie(slots_, entry_slots_) = allocate_together<Slot, Index>(queue_, entries, 2 * entries);
    const auto tile_keys = queue_.template allocate<std::uint32_t>(2 * entries);
    Pairs<std::uint32_t> by_tile = {tile_keys.data(), entry_slots_.data()};
    queue_.for_all(ListHits<T>{splats, in_, view_.tiles(), splats_.data(), by_depth.values, ends.data(),
                               splat_slots_.data(), slots_.data(), by_tile});
    if (entries > 0)
      by_tile = queue_.sort(by_tile, {by_tile.keys + entries, by_tile.values + entries}, entries,
                            std::bit_width(static_cast<std::uint32_t>(tiles)));
    queue_.for_all(TileBegins{tiles + 1, by_tile.keys, static_cast<Index>(entries), tile_begin_.data()});
    view_.entry_slots = by_tile.values, view_.slots = slots_.data();
  }

  [[noreturn]] static void refuse_cameras() {
    throw std::invalid_argument(
        "viewmats, Ks: expected finite world-to-camera matrices with a last row of (0, 0, 0, 1) and intrinsic matrices "
        "((fx, 0, cx), (0, fy, cy), (0, 0, 1)) with focal lengths > 0, got others");
  }
  [[noreturn]] static void refuse_lists() {
    throw std::invalid_argument(
        "means: expected Gaussians that reach at most 2147483647 tiles together on a device, got more; make them or "
        "the images smaller");
  }

  void count() {
    const std::int64_t chunks = (in_.count + CountSplats::kChunk - 1) / CountSplats::kChunk;
    const auto parts = queue_.template allocate<StatusCounts>(in_.cameras * chunks);
    queue_.template launch<CountSplats>(in_.cameras * chunks, {in_.count, chunks, status_.data(), parts.data()});
    // A StatusCounts is kStatusCount integers.
    queue_.template launch<TotalCounts>(
        in_.cameras, {chunks, view_.tiles(), parts.data(), tile_begin_.data(),
                      reinterpret_cast<StatusCounts*>(drawn_.status_counts.data()), drawn_.entry_counts.data()});
  }

  // Clears all gradients but those of the backgrounds.
  void clear_gradients(const RasterGradients<T>& out) const {
    visit_gradients(in_, out, [&](T* array, std::int64_t size) { queue_.clear(array, size); });
    if (!out.viewmats) return;
    if (in_.cameras_on_device) {
      queue_.clear(out.viewmats, 16 * in_.cameras);
    } else {
      std::fill_n(out.viewmats, 16 * in_.cameras, 0.0);
    }
  }

  void background_vjp(const RasterAdjoint<T>& adj, T* out) const {
    const std::int64_t channels = std::int64_t{in_.cameras} * in_.channels;
    if (!adj.color) return queue_.clear(out, channels);
    const std::int64_t parts = (view_.tiles() + BackgroundVjp<T>::kTiles - 1) / BackgroundVjp<T>::kTiles;
    const auto sums = queue_.template allocate<double>(channels * parts);
    queue_.template launch<BackgroundVjp<T>>(channels * parts,
                                             {view_, transmittance_.data(), adj.color, parts, sums.data()});
    queue_.template launch<SumTerms<StoredTerm<double>, T>>(channels, {channels * parts, parts, {sums.data()}, out});
  }

  void put_poses(std::int64_t blocks, Pose* poses, double* viewmats) const {
    Pose* const totals = poses + in_.cameras * blocks;
    queue_.template launch<SumTerms<StoredTerm<Pose>>>(in_.cameras, {in_.cameras * blocks, blocks, {poses}, totals});
    if (in_.cameras_on_device) return queue_.for_all(StorePoses{in_.cameras, totals, viewmats});
    const std::vector<Pose> host = to_host(totals, in_.cameras);
    for (int c = 0; c < in_.cameras; ++c) StorePoses{in_.cameras, host.data(), viewmats}(c);
  }

  mutable Queue queue_;
  RasterInput<T> in_;
  RasterView<T> view_{};
  DrawnImages<T> drawn_;
  std::int64_t entries_ = 0;
  Buffer<Camera<double>> cameras_;
  Buffer<DeviceSplat<T>> splats_;
  Buffer<SplatStatus> status_;
  Buffer<Slot> slots_;
  Buffer<Index> splat_slots_, entry_slots_, tile_begin_, end_;
  Buffer<T> transmittance_;
};

}  // namespace diffmpm::cuda
