// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels.hpp"

// What a rasterization on the CPU keeps; shared by its forward and its adjoint.

namespace diffmpm {

// One image's projected Gaussians and lists.
template <class T>
struct View {
  Buffer<Splat<T>> splats;
  Buffer<SplatStatus> status;
  Buffer<std::uint32_t> hits;  // (N + 1), where a Gaussian's slots begin
  Buffer<TileEntry> entries;
  Buffer<std::uint32_t> tile_begin;
  Buffer<T> end, transmittance;
};

template <class T>
struct CpuRasterization : AnyRasterization<T> {
  explicit CpuRasterization(const RasterInput<T>& input);
  const RasterInput<T>& input() const override { return in; }
  const DrawnImages<T>& images() const override { return drawn; }
  std::vector<std::int64_t> status_counts() const override { return statuses; }
  std::vector<std::int64_t> entry_counts() const override { return entries; }
  void vjp(const RasterAdjoint<T>& adj, const RasterGradients<T>& out) const override;

  RasterInput<T> in;
  std::vector<double> viewmats, intrinsics;
  const RenderKernels<T>& table;
  int tiles_x, tiles_y;
  std::vector<View<T>> views;
  DrawnImages<T> drawn;
  std::vector<std::int64_t> statuses, entries;

  std::int64_t tiles() const { return static_cast<std::int64_t>(tiles_x) * tiles_y; }
  std::int64_t pixels() const { return static_cast<std::int64_t>(in.width) * in.height; }
  ViewArgs<T> view_args(int camera, int threads, const Buffer<T>& scratch) const;
  Buffer<T> make_scratch(int threads) const;
  void render(int camera, int threads, const Buffer<T>& scratch);
  void count_status(int camera);
  void place_hits(int camera);
  void list_entries(ViewArgs<T>& args);
};

}  // namespace diffmpm
