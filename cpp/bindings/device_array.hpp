// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// An array in the memory of a CUDA device, as Python sees it.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "diffmpm/core/device_arrays.hpp"
#include "diffmpm/core/memory.hpp"

using diffmpm::kNoDevice;

// The stream of a device, a cudaStream_t, that calls of this thread put their work on; null: the default stream.
void*& current_stream(int device);

struct DeviceArray {
  std::shared_ptr<void> memory;  // points at the first value
  std::vector<std::size_t> shape;
  bool wide = false;  // float64, or else float32
  int device = 0;
  std::shared_ptr<nanobind::object> owner = nullptr;  // tensor of bytes that has the memory, where it is one of PyTorch

  std::size_t size() const {
    std::size_t n = 1;
    for (const std::size_t length : shape) n *= length;
    return n;
  }
  std::size_t bytes() const { return size() * (wide ? sizeof(double) : sizeof(float)); }
  template <class T>
  bool holds() const {
    return wide == (sizeof(T) == sizeof(double));
  }
  template <class T>
  T* data() const {
    return static_cast<T*>(memory.get());
  }
};

// The Context of a call whose arrays are on `device`. Makes the device current while it lives.
class DeviceScope {
 public:
  explicit DeviceScope(int device) : guard_(device), context_{device, current_stream(device)} {}
  operator const diffmpm::Context&() const { return context_; }
  void* stream() const { return context_.stream; }

 private:
  diffmpm::cuda::DeviceGuard guard_;
  diffmpm::Context context_;
};

// Memory for an array on a device, uninitialised.
DeviceArray new_device_array(std::vector<std::size_t> shape, bool wide, int device);

// While it lives, work on what belongs to a stream comes after what this thread has put on its own stream of that device, and the
// other way round; the device is the current one.
class StreamGuard {
 public:
  StreamGuard(int device, void* stream) : guard_(device), device_(device), stream_(stream) {
    wait(stream_, current_stream(device_));
  }
  ~StreamGuard() noexcept(false) { wait(current_stream(device_), stream_); }
  StreamGuard(const StreamGuard&) = delete;
  StreamGuard& operator=(const StreamGuard&) = delete;

 private:
  void wait(void* later, void* earlier) const {
    if (device_ != kNoDevice && later != earlier) diffmpm::cuda::wait_for(later, earlier);
  }
  diffmpm::cuda::DeviceGuard guard_;
  int device_;
  void* stream_;
};
