// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <numeric>
#include <span>
#include <vector>

#include "diffmpm/core/device.hpp"
#include "diffmpm/core/memory.hpp"

using diffmpm::kNoDevice;

// Number of values of an array.
inline std::size_t element_count(std::span<const std::size_t> shape) {
  return std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>());
}

// The stream, a cudaStream_t, that calls of this thread use on a device; null: the default stream.
void*& current_stream(int device);

// C-contiguous memory of a CUDA device.
struct DeviceArray {
  std::shared_ptr<void> memory;  // points at the first value
  std::vector<std::size_t> shape;
  nanobind::dlpack::dtype dtype = nanobind::dtype<float>();
  int device = 0;
  std::shared_ptr<nanobind::object> owner = nullptr;  // tensor of bytes that owns the memory, if it is PyTorch's

  std::size_t size() const { return element_count(shape); }
  std::size_t bytes() const { return size() * (dtype.bits / 8); }
  template <class T>
  bool holds() const {
    return dtype == nanobind::dtype<T>();
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

// Uninitialised.
DeviceArray new_device_array(std::vector<std::size_t> shape, nanobind::dlpack::dtype dtype, int device);

// While it lives, calls of this thread use PyTorch's current stream of a device, and PyTorch's memory for work on it. Throws
// DeviceError if the stream is being captured into a graph.
class TorchScope {
 public:
  explicit TorchScope(const diffmpm::Context& context);
  ~TorchScope();
  TorchScope(const TorchScope&) = delete;
  TorchScope& operator=(const TorchScope&) = delete;

 private:
  diffmpm::cuda::DeviceGuard guard_;
  int device_;
  void* stream_ = nullptr;
  diffmpm::cuda::SourceStream source_;
};

// Orders work on `stream` after the work of this thread's own stream of the device and, at the end of its life, the other way round.
// Makes the device current while it lives.
class StreamGuard {
 public:
  explicit StreamGuard(const diffmpm::Context& context) : guard_(context.device), context_(context) {
    wait(context_.stream, current_stream(context_.device));
  }
  ~StreamGuard() noexcept(false) { wait(current_stream(context_.device), context_.stream); }
  StreamGuard(const StreamGuard&) = delete;
  StreamGuard& operator=(const StreamGuard&) = delete;

 private:
  void wait(void* later, void* earlier) const {
    if (context_.on_device() && later != earlier) diffmpm::cuda::devices().wait_for(later, earlier);
  }
  diffmpm::cuda::DeviceGuard guard_;
  diffmpm::Context context_;
};
