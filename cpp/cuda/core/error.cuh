// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "diffmpm/core/device.hpp"

// Checks a call of the CUDA runtime. Throws a DeviceError that names the call, or a DeviceMemoryError.
#define DIFFMPM_CUDA_CHECK(call) ::diffmpm::cuda::check((call), #call)

namespace diffmpm::cuda {

inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // resets the error for the next check
  const std::string text =
      std::string("CUDA: ") + cudaGetErrorString(status) + " (" + cudaGetErrorName(status) + ") in " + call;
  if (status == cudaErrorMemoryAllocation) throw DeviceMemoryError(text);
  throw DeviceError(text);
}

}  // namespace diffmpm::cuda
