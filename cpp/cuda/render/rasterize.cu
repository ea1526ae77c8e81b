// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "render/rasterize.cuh"

#include <memory>

#include "core/queue.cuh"

namespace diffmpm {
namespace {

template <class T>
std::unique_ptr<Rasterization<T>> rasterize(const Context& context, const RasterInput<T>& input) {
  return std::make_unique<cuda::DeviceRasterization<T, cuda::Queue>>(input, cuda::Queue(context));
}

}  // namespace

template <class T>
const RenderFunctions<T>& RenderFunctions<T>::cuda() {
  static constexpr RenderFunctions kTable{diffmpm::rasterize<T>};
  return kTable;
}

template const RenderFunctions<float>& RenderFunctions<float>::cuda();
template const RenderFunctions<double>& RenderFunctions<double>::cuda();

}  // namespace diffmpm
