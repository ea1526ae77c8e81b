// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/backend.hpp"

#include "diffmpm/core/device.hpp"
#include "diffmpm/core/host_queue.hpp"

namespace diffmpm {

template <class T>
const Backend<T>& backend(const Context& context) {
  static const Backend<T> host{array_functions<T, HostQueue>(), geometry::body_functions<T, HostQueue>(),
                               ImageLossFunctions<T>::host(),   LossFunctions<T>::host(),
                               MpmFunctions<T>::host(),         {run_item<HostQueue, optimize::AdamItem<T>>},
                               RenderFunctions<T>::host(),      surface::SurfaceFunctions<T>::host()};
  if (!context.on_device()) return host;
  if (const Backend<T>* cuda = cuda_backend<T>()) return *cuda;
  cuda::refuse();
}

template const Backend<float>& backend<float>(const Context&);
template const Backend<double>& backend<double>(const Context&);

}  // namespace diffmpm
