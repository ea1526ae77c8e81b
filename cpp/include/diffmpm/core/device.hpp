// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>

// Queries of the device backend. cpp/cuda defines them in builds with CUDA, cpp/no_cuda everywhere else.
namespace diffmpm::cuda {

// A device that is missing, or a call of it that failed.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Whether this build contains the CUDA backend.
bool compiled();

// Number of devices that can be used; 0 without the backend.
int device_count();

// One sentence: what is available, or what is missing and how to get it.
const char* status();

}  // namespace diffmpm::cuda
