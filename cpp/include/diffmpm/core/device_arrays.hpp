// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>

#include "diffmpm/core/context.hpp"

// Memory of the current CUDA device, and what optimisers and losses do with arrays in it. The work is put on `stream`, a
// cudaStream_t (null: the default stream); what returns a number or fills memory of the host waits. Everything throws DeviceError,
// also in builds without CUDA.

namespace diffmpm::cuda {

// Of the calling thread.
int current_device();
void set_current_device(int device);

// Makes a device the current one as long as it lives; for the host it does nothing.
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
    } catch (const std::exception&) {  // it was current before, so only at the end of a process
    }
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_ = kNoDevice;
};

// Memory of another library of the process, on the current device and in the order of the stream that the library has made
// current: that of PyTorch's caching allocator. Both functions return 0, or something else where they fail.
struct MemorySource {
  int (*allocate)(std::uint64_t bytes, void** out) = nullptr;
  int (*free)(void* memory) = nullptr;
};
void set_memory_source(const MemorySource& source);

// The stream whose work takes its memory from the source, in this thread; kNoDevice: none. All other memory is from the pool of
// the core.
struct SourceStream {
  int device = kNoDevice;
  void* stream = nullptr;
};
SourceStream& source_stream();

// Memory of the current device, in bytes.
struct MemoryUse {
  std::size_t free, total;  // what the pool of the core keeps idle is free
  std::size_t used, peak;   // of the pool: now, and at most since `peak` was last reset
};
MemoryUse memory_use(bool reset_peak = false);

// Give back what the pool keeps idle. Waits for the device.
void release_idle_memory();

// How often the host has waited for a device in this process.
std::int64_t host_waits();

// Uninitialised; given back in the order of the stream, which has to live as long. Throws DeviceMemoryError.
std::shared_ptr<void> allocate(std::size_t bytes, void* stream);

void upload(void* to, const void* from, std::size_t bytes, void* stream);    // from the host
void download(void* to, const void* from, std::size_t bytes, void* stream);  // to the host
void copy(void* to, const void* from, std::size_t bytes, void* stream);
void clear(void* to, std::size_t bytes, void* stream);

// What is put on `stream` from now on waits for what is on `other`.
void wait_for(void* stream, void* other);

enum class Combination : int { add, subtract, multiply, divide };

// One side of a combination: an array, or a number where that is null.
template <class T>
struct Operand {
  const T* values = nullptr;
  T number = 0;
};

// out[n] = a[n] op b[n]; `out` may be one of the operands.
template <class T>
void combine(Combination op, std::int64_t count, const Operand<T>& a, const Operand<T>& b, T* out, void* stream);

template <class T>
void square_root(std::int64_t count, const T* a, T* out, void* stream);

// out[n] = a[rows[n]] and a[rows[n]] += values[n], of rows of `width` values; no row may be listed twice.
template <class T>
void take_rows(std::int64_t count, std::int64_t width, const std::int32_t* rows, const T* a, T* out, void* stream);
template <class T>
void add_rows(std::int64_t count, std::int64_t width, const std::int32_t* rows, const T* values, T* a, void* stream);

// Sums in double precision, in an order that depends on the count alone.
template <class T>
double dot(std::int64_t count, const T* a, const T* b, void* stream);
// Largest |a[n]|, 0 without any, NaN where one is.
template <class T>
double peak(std::int64_t count, const T* a, void* stream);
// Values that are not finite.
template <class T>
std::int64_t count_not_finite(std::int64_t count, const T* a, void* stream);
// Values that are not above `bound`, NaN among them.
template <class T>
std::int64_t count_not_above(std::int64_t count, const T* a, T bound, void* stream);
// Matrices (count, 3, 3) whose determinant is not above 0.
template <class T>
std::int64_t count_inverted(std::int64_t count, const T* F, void* stream);

// How many values of mass, volume, lam and mu, each (count), are not finite or have the wrong sign.
template <class T>
std::array<std::int64_t, 4> count_bad_constants(std::int64_t count, const T* mass, const T* volume, const T* lam,
                                                const T* mu, void* stream);

}  // namespace diffmpm::cuda
