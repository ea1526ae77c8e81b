// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "render/rasterize.cuh"

#include <memory>

#include "core/queue.cuh"

namespace diffmpm::cuda {

template <class T>
Rasterization<T> rasterize(const RasterInput<T>& input, void* stream) {
  return Rasterization<T>(std::make_unique<DeviceRasterization<T, Queue>>(input, Queue(stream)));
}

template Rasterization<float> rasterize<float>(const RasterInput<float>&, void*);
template Rasterization<double> rasterize<double>(const RasterInput<double>&, void*);

}  // namespace diffmpm::cuda
