// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "../core/isa.hpp"
#include "diffmpm/render/splat.hpp"

// The passes of one image, compiled for each instruction set.

namespace diffmpm {

template <class T>
struct ViewArgs {
  const RasterInput<T>* input = nullptr;
  int camera = 0;
  int threads = 1;
  int tiles_x = 0, tiles_y = 0;
  int channels = 0;                           // K + 1; the last one is the depth
  Splat<T>* splats = nullptr;                 // (N)
  SplatStatus* status = nullptr;              // (N)
  std::uint32_t* hits = nullptr;              // (N): number of tiles, then (N + 1): first slot of each Gaussian
  std::uint32_t* hit_tiles = nullptr;         // (slots): tile, in the order of Gaussians
  std::uint16_t* hit_cells = nullptr;         // (slots): mask
  const TileEntry* entries = nullptr;         // by tile, front to back
  const std::uint32_t* tile_begin = nullptr;  // (tiles + 1)
  T* scratch = nullptr;                       // scratch_size values per thread
  std::int64_t scratch_size = 0;
  T* end = nullptr;                                        // (tiles, cell, lane): PixelState::end
  T* transmittance = nullptr;                              // (tiles, cell, lane)
  ProjectedArrays<T> projected;                            // of this camera
  T *color = nullptr, *alpha = nullptr, *depth = nullptr;  // images of this camera
};

template <class T>
struct ViewAdjointArgs {
  const T *color = nullptr, *alpha = nullptr, *depth = nullptr;  // cotangents of the images of this camera, or null
  T* sums = nullptr;                                             // (slots, kMoments + channels), by slot
  double* tile_background = nullptr;                             // (tiles, K), or null
  double* chunk_pose = nullptr;  // (chunks, kPoseValues): adjoint of R and t from each chunk of Gaussians
  const RasterGradients<T>* out = nullptr;
  bool accumulate = false;  // add to the gradients of earlier cameras
};

inline constexpr std::int64_t kPoseChunk = 512;  // Gaussians per partial sum of the adjoint of the pose
inline constexpr int kPoseValues = 12;
inline constexpr std::uint32_t kManyTiles =
    256;  // tiles of a Gaussian from which their total is checked during the count,
inline constexpr int kCheckedEntriesLog2 = 24;  // each time it passes a multiple of this power of two
inline constexpr int kEntryChunk = 128;         // list entries unpacked together

// Throws std::invalid_argument if the lists of an image, of `count` entries, are too long for their counters or for the memory.
void require_entries(std::int64_t count);

template <class T>
struct RenderKernels {
  std::int64_t (*scratch_size)(int channels);
  void (*project)(const ViewArgs<T>&);                                   // inputs -> splats, status, hits, projected
  void (*list_hits)(const ViewArgs<T>&);                                 // splats, hits -> hit_tiles, hit_cells
  void (*composite)(const ViewArgs<T>&);                                 // entries -> images, end, transmittance
  void (*composite_vjp)(const ViewArgs<T>&, const ViewAdjointArgs<T>&);  // cotangents -> sums, tile_background
  void (*project_vjp)(const ViewArgs<T>&, const ViewAdjointArgs<T>&);    // sums -> gradients, chunk_pose
};

}  // namespace diffmpm
