// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <type_traits>

#include "diffmpm/render/splat.hpp"

// The passes of one image. Each instruction set's object library defines one table a precision.

namespace diffmpm {

template <class T>
struct ViewArgs {
  const RasterInput<T>* input = nullptr;
  int camera = 0;
  int threads = 1;
  int tiles_x = 0, tiles_y = 0;
  int channels = 0;                           // K + 1: the depth is the last
  Splat<T>* splats = nullptr;                 // (N)
  SplatStatus* status = nullptr;              // (N)
  std::uint32_t* hits = nullptr;              // (N): number of tiles, then (N + 1): where a Gaussian's slots begin
  std::uint32_t* hit_tiles = nullptr;         // (slots): tile, in the order of Gaussians
  std::uint16_t* hit_cells = nullptr;         // (slots): mask
  const TileEntry* entries = nullptr;         // by tile, front to back
  const std::uint32_t* tile_begin = nullptr;  // (tiles + 1)
  T* scratch = nullptr;                       // scratch_size() values a thread
  std::int64_t scratch_size = 0;
  T* end = nullptr;                                             // (tiles, cell, lane): PixelState::end
  T* transmittance = nullptr;                                   // (tiles, cell, lane)
  T *means2d = nullptr, *extents = nullptr, *depths = nullptr;  // of this camera
  T *color = nullptr, *alpha = nullptr, *depth = nullptr;       // images of this camera
};

template <class T>
struct ViewAdjointArgs {
  const T *color = nullptr, *alpha = nullptr, *depth = nullptr;  // cotangents of this camera's images, or null
  T* sums = nullptr;                                             // (slots, kMoments + channels), by slot
  double* tile_background = nullptr;                             // (tiles, K), or null
  double* chunk_pose = nullptr;  // (chunks, 12): adjoint of R and t of each chunk of Gaussians
  const RasterGradients<T>* out = nullptr;
  bool accumulate = false;  // add to what an earlier camera left
};

inline constexpr std::int64_t kPoseChunk = 512;  // Gaussians whose share of the pose's adjoint is summed first
inline constexpr int kPoseValues = 12;
inline constexpr std::uint32_t kManyTiles = 256;  // of one Gaussian: their sum is checked while it is counted
inline constexpr int kCheckedEntriesLog2 = 24;    // after about as many further list entries
inline constexpr int kEntryChunk = 128;  // list entries that are unpacked at a time

// Throws std::invalid_argument if an image's lists of `count` entries are too long for their counters or the memory.
void require_entries(std::int64_t count);

template <class T>
struct RenderKernels {
  std::int64_t (*scratch_size)(int channels);
  void (*project)(const ViewArgs<T>&);    // inputs -> splats, status, hits, means2d, extents, depths
  void (*list_hits)(const ViewArgs<T>&);  // splats, hits -> hit_tiles, hit_cells
  void (*composite)(const ViewArgs<T>&);  // entries -> images, end, transmittance
  void (*composite_vjp)(const ViewArgs<T>&, const ViewAdjointArgs<T>&);  // cotangents -> sums, tile_background
  void (*project_vjp)(const ViewArgs<T>&, const ViewAdjointArgs<T>&);    // sums -> gradients, chunk_pose
};

// Table of the instruction set in use.
template <class T>
const RenderKernels<T>& render_kernels();

}  // namespace diffmpm
