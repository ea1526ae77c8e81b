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

// The stream, a cudaStream_t, that calls of this thread put their work on; null: the default stream.
void*& current_stream();

struct DeviceArray {
  std::shared_ptr<void> memory;  // points at the first value
  std::vector<std::size_t> shape;
  bool wide = false;  // float64, or else float32

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

// Memory for an array on the current device, uninitialised.
DeviceArray new_device_array(std::vector<std::size_t> shape, bool wide);

// While it lives, work on what belongs to a stream comes after what this thread has put on its own stream, and the other way round.
class Turn {
 public:
  Turn(bool on_device, void* stream) : on_device_(on_device), stream_(stream) { wait(stream_, current_stream()); }
  ~Turn() noexcept(false) { wait(current_stream(), stream_); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  void wait(void* later, void* earlier) const {
    if (on_device_ && later != earlier) diffmpm::cuda::wait_for(later, earlier);
  }
  bool on_device_;
  void* stream_;
};
