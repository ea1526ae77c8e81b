// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/backend.hpp"

#include "core/queue.cuh"
#include "core/sums.cuh"

namespace diffmpm {

template <class T>
const Backend<T>* cuda_backend() {
  using cuda::Queue;
  static const Backend<T> table{array_functions<T, Queue>(),   geometry::body_functions<T, Queue>(),
                                ImageLossFunctions<T>::cuda(), LossFunctions<T>::cuda(),
                                MpmFunctions<T>::cuda(),       {run_item<Queue, optimize::AdamItem<T>>},
                                RenderFunctions<T>::cuda(),    surface::SurfaceFunctions<T>::cuda()};
  return &table;
}

template const Backend<float>* cuda_backend<float>();
template const Backend<double>* cuda_backend<double>();

}  // namespace diffmpm
