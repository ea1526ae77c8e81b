// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/backend.hpp"

#include "diffmpm/core/device.hpp"

namespace diffmpm {

template <class T>
const Backend<T>& backend(const Context& context) {
  static const Backend<T> host{ArrayFunctions<T>::host(),     geometry::BodyFunctions<T>::host(),
                               ImageLossFunctions<T>::host(), LossFunctions<T>::host(),
                               MpmFunctions<T>::host(),       optimize::OptimizeFunctions<T>::host(),
                               RenderFunctions<T>::host(),    surface::SurfaceFunctions<T>::host()};
  if (!context.on_device()) return host;
  if (const Backend<T>* cuda = cuda_backend<T>()) return *cuda;
  cuda::refuse();
}

template const Backend<float>& backend<float>(const Context&);
template const Backend<double>& backend<double>(const Context&);

}  // namespace diffmpm
