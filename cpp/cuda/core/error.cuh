// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime.h>

#include <string>

#include "diffmpm/core/device.hpp"

// Every call of the CUDA runtime is checked; a failure becomes a DeviceError that names the call, or a DeviceMemoryError.
#define DIFFMPM_CUDA_CHECK(call) ::diffmpm::cuda::check((call), #call)

namespace diffmpm::cuda {

inline void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // a failure that is reported must not turn up again in the next check
  const std::string text =
      std::string("CUDA: ") + cudaGetErrorString(status) + " (" + cudaGetErrorName(status) + ") in " + call;
  if (status == cudaErrorMemoryAllocation) throw DeviceMemoryError(text);
  throw DeviceError(text);
}

}  // namespace diffmpm::cuda
