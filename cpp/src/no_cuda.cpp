// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// A build without CUDA has no table of that backend.
#include "diffmpm/backend.hpp"
#include "diffmpm/core/device.hpp"

namespace diffmpm {

const cuda::DeviceFunctions* cuda::device_functions() { return nullptr; }

template <class T>
const Backend<T>* cuda_backend() {
  return nullptr;
}

template const Backend<float>* cuda_backend<float>();
template const Backend<double>* cuda_backend<double>();

}  // namespace diffmpm
