// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// The CUDA backend of builds without it.
#include "diffmpm/core/device.hpp"

#include "diffmpm/backend.hpp"

namespace diffmpm {

template <>
const Backend<float>* cuda_backend() {
  return nullptr;
}
template <>
const Backend<double>* cuda_backend() {
  return nullptr;
}

namespace cuda {

bool compiled() { return false; }

int device_count() { return 0; }

const char* status() {
  return "not in this build, everything runs on the CPU; build it where nvcc works, with DIFFMPM_WITH_CUDA=ON";
}

}  // namespace cuda

}  // namespace diffmpm
