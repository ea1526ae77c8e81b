// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "surface/evaluate.cuh"

#include "core/queue.cuh"

namespace diffmpm::surface {

template <class T>
const SurfaceFunctions<T>& SurfaceFunctions<T>::cuda() {
  using cuda::Queue;
  static constexpr SurfaceFunctions kTable{OnQueue<&cuda::find_children_on<Queue>>::call,
                                           OnQueue<&cuda::evaluate_on<T, Queue>>::call,
                                           OnQueue<&cuda::evaluate_vjp_on<T, Queue>>::call};
  return kTable;
}

template const SurfaceFunctions<float>& SurfaceFunctions<float>::cuda();
template const SurfaceFunctions<double>& SurfaceFunctions<double>::cuda();

}  // namespace diffmpm::surface
