// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// The device of DIFFMPM_EMULATE_CUDA.
#include "diffmpm/core/device.hpp"
#include "diffmpm/core/device_arrays.hpp"

namespace diffmpm::cuda {

bool compiled() { return true; }

int device_count() { return 1; }

int current_device() { return 0; }

const char* status() { return "compiled in, emulated on the CPU for tests"; }

}  // namespace diffmpm::cuda
