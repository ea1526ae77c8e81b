// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>

#include "diffmpm/core/context.hpp"

// Memory of the current CUDA device. `stream` is a cudaStream_t, or null: the default stream. Functions that fill host memory wait
// for it. All functions throw DeviceError, also in builds without CUDA.

namespace diffmpm::cuda {

// The current device of the calling thread.
int current_device();
void set_current_device(int device);

// Makes a device current while it lives; does nothing for the host.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) {
    if (device == kNoDevice) return;
    const int current = current_device();
    if (current == device) return;
    set_current_device(device);
    before_ = current;
  }
  ~DeviceGuard() {
    if (before_ == kNoDevice) return;
    try {
      set_current_device(before_);
    } catch (const std::exception&) {  // fails only at the end of a process
    }
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_ = kNoDevice;
};

// Allocator of another library, such as PyTorch's caching allocator, on the current device and in the order of the stream that the
// library has made current. Both functions return 0 on success.
struct MemorySource {
  int (*allocate)(std::uint64_t bytes, void** out) = nullptr;
  int (*free)(void* memory) = nullptr;
};
void set_memory_source(const MemorySource& source);

// The stream of this thread whose work uses the memory source, or kNoDevice. All other work uses the core's pool.
struct SourceStream {
  int device = kNoDevice;
  void* stream = nullptr;
};
SourceStream& source_stream();

// Memory of the current device, in bytes.
struct MemoryUse {
  std::size_t free, total;  // idle memory of the core's pool counts as free
  std::size_t used, peak;   // of the pool; `peak` is the maximum since its last reset
};
MemoryUse memory_use(bool reset_peak = false);

// Frees the idle memory of the pool. Waits for the device.
void release_idle_memory();

// How often the host has waited for a device in this process.
std::int64_t host_waits();

// Uninitialised memory, freed in the order of the stream, which must outlive it. Throws DeviceMemoryError.
std::shared_ptr<void> allocate(std::size_t bytes, void* stream);

void upload(void* to, const void* from, std::size_t bytes, void* stream);    // from the host
void download(void* to, const void* from, std::size_t bytes, void* stream);  // to the host
void copy(void* to, const void* from, std::size_t bytes, void* stream);

// Throws DeviceError if the stream is being captured into a graph, as a graph cannot hold calls that wait for the device.
void refuse_capture(void* stream);
inline constexpr char kCaptured[] =
    "CUDA: the stream is being captured into a CUDA graph, which cannot hold calls that wait for the device; call them "
    "outside of the capture";

// Later work on `stream` waits for the work that is now on `other`.
void wait_for(void* stream, void* other);

}  // namespace diffmpm::cuda
