// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/backend.hpp"

namespace diffmpm {

template <class T>
const Backend<T>* cuda_backend() {
  static const Backend<T> table{ArrayFunctions<T>::cuda(),     geometry::BodyFunctions<T>::cuda(),
                                ImageLossFunctions<T>::cuda(), LossFunctions<T>::cuda(),
                                MpmFunctions<T>::cuda(),       optimize::OptimizeFunctions<T>::cuda(),
                                RenderFunctions<T>::cuda(),    surface::SurfaceFunctions<T>::cuda()};
  return &table;
}

template const Backend<float>* cuda_backend<float>();
template const Backend<double>* cuda_backend<double>();

}  // namespace diffmpm
