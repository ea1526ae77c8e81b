// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "diffmpm/core/context.hpp"

// CUDA devices and their memory.
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

// Memory of the current device, in bytes.
struct MemoryUse {
  std::size_t free, total;  // idle memory of the core's pool counts as free
  std::size_t used, peak;   // of the pool; `peak` is the maximum since its last reset
};

// Functions of the devices, for the current one unless stated otherwise. `stream` is a cudaStream_t, or null: the default stream.
// Functions that fill host memory wait for it. All throw DeviceError.
struct DeviceFunctions {
  int (*count)();  // of usable devices; never throws
  const char* (
      *status)();  // one sentence: the usable devices, or why no device is usable, and the remedy; never throws

  int (*current)();  // device of the calling thread
  void (*set_current)(int device);

  MemoryUse (*memory_use)(bool reset_peak);
  void (*release_idle_memory)();  // of the pool; waits for the device

  // Uninitialised memory, freed in the order of the stream, which must outlive it. Throws DeviceMemoryError.
  std::shared_ptr<void> (*allocate)(std::size_t bytes, void* stream);
  void (*upload)(void* to, const void* from, std::size_t bytes, void* stream);    // from the host
  void (*download)(void* to, const void* from, std::size_t bytes, void* stream);  // to the host
  void (*copy)(void* to, const void* from, std::size_t bytes, void* stream);

  // Throws if the stream is being captured into a graph, as a graph cannot hold calls that wait for the device.
  void (*refuse_capture)(void* stream);
  // Later work on `stream` waits for the work that is now on `other`.
  void (*wait_for)(void* stream, void* other);
};

const DeviceFunctions* device_functions();  // null in builds without CUDA

// Whether this build contains the CUDA backend.
inline bool compiled() { return device_functions() != nullptr; }

inline int device_count() { return compiled() ? device_functions()->count() : 0; }

inline const char* status() {
  return compiled() ? device_functions()->status()
                    : "not in this build, everything runs on the CPU; build it where nvcc works, with "
                      "DIFFMPM_WITH_CUDA=ON";
}

// Throws DeviceError with that sentence.
[[noreturn]] inline void refuse() { throw DeviceError(std::string("CUDA: ") + status()); }

// The functions of the devices. Throws DeviceError in builds without CUDA.
inline const DeviceFunctions& devices() {
  if (const DeviceFunctions* functions = device_functions()) return *functions;
  refuse();
}

inline constexpr char kCaptured[] =
    "CUDA: the stream is being captured into a CUDA graph, which cannot hold calls that wait for the device; call them "
    "outside of the capture";

// Makes a device current while it lives; does nothing for the host.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) {
    if (device == kNoDevice) return;
    const int current = devices().current();
    if (current == device) return;
    devices().set_current(device);
    before_ = current;
  }
  ~DeviceGuard() {
    if (before_ == kNoDevice) return;
    try {
      devices().set_current(before_);
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
inline MemorySource memory_source;

// The stream of a thread whose work uses the memory source, or kNoDevice. All other work uses the core's pool.
struct SourceStream {
  int device = kNoDevice;
  void* stream = nullptr;
};
inline SourceStream& source_stream() {
  thread_local SourceStream stream;
  return stream;
}

// How often the host has waited for a device in this process.
inline std::atomic<std::int64_t> host_waits{0};

}  // namespace diffmpm::cuda
