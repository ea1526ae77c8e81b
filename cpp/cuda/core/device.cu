// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/core/device.hpp"

#include <cuda_runtime.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "architectures.hpp"
#include "core/copies.cuh"
#include "core/error.cuh"
#include "core/queue.cuh"
#include "core/source.hpp"
#include "core/survey.hpp"

namespace diffmpm::cuda {
namespace {

// The devices of this machine, read once per process.
const Survey& survey() {
  static const Survey result = [] {
    Survey s;
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    static_cast<void>(cudaGetLastError());  // no driver and no device are results, not errors
    static_cast<void>(cudaDriverGetVersion(&s.driver));
    static_cast<void>(cudaRuntimeGetVersion(&s.runtime));
    s.architectures = DIFFMPM_CUDA_ARCHITECTURES;
    if (status != cudaSuccess) {
      s.error = cudaGetErrorString(status);
      return s;
    }
    for (int n = 0; n < count; ++n) {
      cudaDeviceProp device{};  // stays without compute capability if the query fails
      static_cast<void>(cudaGetDeviceProperties(&device, n));
      s.devices.push_back({device.name, device.totalGlobalMem, device.major, device.minor});
    }
    static_cast<void>(cudaGetLastError());
    return s;
  }();
  return result;
}

int usable_count() {
  static const int count = usable_devices(survey());
  return count;
}

const char* status_text() {
  static const std::string text = describe(survey());
  return text.c_str();
}

int current_device() {
  int device = 0;
  DIFFMPM_CUDA_CHECK(cudaGetDevice(&device));
  return device;
}

void set_current_device(int device) { DIFFMPM_CUDA_CHECK(cudaSetDevice(device)); }

void refuse_capture(void* stream) {
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  DIFFMPM_CUDA_CHECK(cudaStreamIsCapturing(static_cast<cudaStream_t>(stream), &capture));
  if (capture != cudaStreamCaptureStatusNone) throw DeviceError(kCaptured);
}

// Memory pool of the current device, which caches freed memory.
cudaMemPool_t memory_pool() {
  static std::mutex busy;
  static std::map<int, cudaMemPool_t> pools;  // per device, never destroyed
  const int device = current_device();
  const std::lock_guard lock(busy);
  cudaMemPool_t& pool = pools[device];
  if (!pool) {
    cudaMemPoolProps props{};
    props.allocType = cudaMemAllocationTypePinned;
    props.location.type = cudaMemLocationTypeDevice;
    props.location.id = device;
    DIFFMPM_CUDA_CHECK(cudaMemPoolCreate(&pool, &props));
    std::uint64_t keep = UINT64_MAX;  // bytes that stay in the pool at a synchronisation
    DIFFMPM_CUDA_CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep));
  }
  return pool;
}

MemoryUse memory_use(bool reset_peak) {
  const cudaMemPool_t pool = memory_pool();
  const auto attribute = [&](cudaMemPoolAttr name) {
    std::uint64_t value = 0;
    DIFFMPM_CUDA_CHECK(cudaMemPoolGetAttribute(pool, name, &value));
    return static_cast<std::size_t>(value);
  };
  MemoryUse use{};
  DIFFMPM_CUDA_CHECK(cudaMemGetInfo(&use.free, &use.total));
  use.used = attribute(cudaMemPoolAttrUsedMemCurrent), use.peak = attribute(cudaMemPoolAttrUsedMemHigh);
  use.free += attribute(cudaMemPoolAttrReservedMemCurrent) - use.used;
  std::uint64_t zero = 0;  // the only valid value
  if (reset_peak) DIFFMPM_CUDA_CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &zero));
  return use;
}

// Null if there is not enough.
std::shared_ptr<void> take_memory(std::size_t bytes, int device, cudaStream_t stream) {
  if (uses_source(device, stream)) return take_from_source(bytes);
  void* memory = nullptr;
  const cudaError_t status = cudaMallocFromPoolAsync(&memory, bytes, memory_pool(), stream);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    return {};
  }
  DIFFMPM_CUDA_CHECK(status);
  // Must not throw, and at process exit the device may be gone. Makes the device current, because the default stream belongs to the
  // current device.
  return {memory, [device, stream](void* p) {
            int before = device;
            static_cast<void>(cudaGetDevice(&before));
            if (before != device) static_cast<void>(cudaSetDevice(device));
            static_cast<void>(cudaFreeAsync(p, stream));
            if (before != device) static_cast<void>(cudaSetDevice(before));
          }};
}

void release_idle_memory() {
  count_host_wait();
  DIFFMPM_CUDA_CHECK(cudaDeviceSynchronize());  // completes the stream-ordered frees
  DIFFMPM_CUDA_CHECK(cudaMemPoolTrimTo(memory_pool(), 0));
}

}  // namespace

std::shared_ptr<void> allocate_on(std::size_t size, cudaStream_t stream) {
  const std::size_t bytes = size > 0 ? size : 1;  // empty buffers have an address: null marks an absent argument
  const int device = current_device();
  if (std::shared_ptr<void> memory = take_memory(bytes, device, stream)) return memory;
  release_idle_memory();  // frees blocks of other sizes
  if (std::shared_ptr<void> memory = take_memory(bytes, device, stream)) return memory;
  const MemoryUse use = memory_use(false);
  throw DeviceMemoryError(device, bytes, use.free, use.total);
}

const DeviceFunctions* device_functions() {
  static constexpr DeviceFunctions table{usable_count,     status_text,         current_device,   set_current_device,
                                         memory_use,       release_idle_memory, copies::allocate, copies::upload,
                                         copies::download, copies::copy,        refuse_capture,   copies::wait_for};
  return &table;
}

}  // namespace diffmpm::cuda
