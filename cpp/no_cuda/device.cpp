// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Stub of the CUDA backend for builds without it.
#include "diffmpm/core/device.hpp"

namespace diffmpm::cuda {

bool compiled() { return false; }

int device_count() { return 0; }

const char* status() {
  return "not in this build, everything runs on the CPU; build it where nvcc works, with DIFFMPM_WITH_CUDA=ON";
}

}  // namespace diffmpm::cuda
