// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/core/arrays.hpp"
#include "diffmpm/core/context.hpp"
#include "diffmpm/geometry/body.hpp"
#include "diffmpm/losses/image_loss.hpp"
#include "diffmpm/losses/losses.hpp"
#include "diffmpm/mpm/rollout.hpp"
#include "diffmpm/optimize/directions.hpp"
#include "diffmpm/render/rasterize.hpp"
#include "diffmpm/surface/surface.hpp"

// The functions that run on the CPU and on a CUDA device. Each is declared once, as a pointer in the table of its area
// (`BodyFunctions` of geometry/body.hpp), with a Context as its first argument:
//
//   const Context context{device, stream};  // or Context(): the CPU
//   const double mean = backend<T>(context).body.mean_square(context, count, v);
//
// Where the backends differ only in how they run loops and sums, one template on a queue (HostQueue, cuda::Queue) defines the table
// for both. Otherwise an area defines its table once per backend: `host()` in cpp/src, `cuda()` in cpp/cuda. On a device work is put
// on the stream; only functions that return a number wait for it.

namespace diffmpm {

template <class T>
struct Backend {
  ArrayFunctions<T> arrays;
  geometry::BodyFunctions<T> body;
  ImageLossFunctions<T> image_losses;
  LossFunctions<T> losses;
  MpmFunctions<T> mpm;
  optimize::OptimizeFunctions<T> optimize;
  RenderFunctions<T> render;
  surface::SurfaceFunctions<T> surface;
};

// The backend of a context. Throws cuda::DeviceError for a device in builds without CUDA; so do the functions where there is no
// usable device.
template <class T>
const Backend<T>& backend(const Context& context);

template <class T>
const Backend<T>* cuda_backend();  // null in builds without CUDA

}  // namespace diffmpm
