// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Stub of the rasteriser on a device, for builds without the CUDA backend.
#include "diffmpm/render/rasterize.hpp"

#include "diffmpm/core/device.hpp"

namespace diffmpm::cuda {

template <class T>
Rasterization<T> rasterize(const RasterInput<T>&, void*) {
  throw DeviceError(std::string("CUDA: ") + status());
}

template Rasterization<float> rasterize<float>(const RasterInput<float>&, void*);
template Rasterization<double> rasterize<double>(const RasterInput<double>&, void*);

}  // namespace diffmpm::cuda
