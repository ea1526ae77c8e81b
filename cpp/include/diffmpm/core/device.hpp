// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

// Queries of the CUDA backend, defined by cpp/cuda or, in builds without CUDA, by cpp/no_cuda.
namespace diffmpm::cuda {

// No usable device, or a CUDA call that failed.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Out of device memory; what() states the requested size and the free memory.
class DeviceMemoryError : public std::bad_alloc {
 public:
  explicit DeviceMemoryError(const std::string& what) : text_(std::make_shared<const std::string>(what)) {}
  DeviceMemoryError(int device, std::size_t requested, std::size_t free, std::size_t total);
  const char* what() const noexcept override { return text_->c_str(); }

 private:
  std::shared_ptr<const std::string> text_;  // shared, because copying an exception must not throw
};

// Whether this build contains the CUDA backend.
bool compiled();

// Number of usable devices; 0 without the backend.
int device_count();

// One sentence: the usable devices, or why no device is usable, and the remedy.
const char* status();

// Throws DeviceError with that sentence.
[[noreturn]] inline void refuse() { throw DeviceError(std::string("CUDA: ") + status()); }

}  // namespace diffmpm::cuda
