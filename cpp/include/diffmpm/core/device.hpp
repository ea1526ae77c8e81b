// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

// Queries of the device backend. cpp/cuda defines them in builds with CUDA, cpp/no_cuda everywhere else.
namespace diffmpm::cuda {

// A device that is missing, or a call of it that failed.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Memory of a device that could not be had; what() says how much was asked for and what there is.
class DeviceMemoryError : public std::bad_alloc {
 public:
  explicit DeviceMemoryError(const std::string& what) : text_(std::make_shared<const std::string>(what)) {}
  DeviceMemoryError(int device, std::size_t asked, std::size_t free, std::size_t total);
  const char* what() const noexcept override { return text_->c_str(); }

 private:
  std::shared_ptr<const std::string> text_;  // shared, because copying an exception must not throw
};

// Whether this build contains the CUDA backend.
bool compiled();

// Number of devices that can be used; 0 without the backend.
int device_count();

// One sentence: what is available, or what is missing and how to get it.
const char* status();

// Throws DeviceError with that sentence.
[[noreturn]] inline void refuse() { throw DeviceError(std::string("CUDA: ") + status()); }

}  // namespace diffmpm::cuda
