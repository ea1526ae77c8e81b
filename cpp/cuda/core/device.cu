// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/core/device.hpp"

#include <cuda_runtime.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "core/error.cuh"
#include "core/queue.cuh"
#include "core/source.hpp"
#include "diffmpm/core/device_arrays.hpp"

namespace diffmpm::cuda {
namespace {

// 13010 is version 13.1.
std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string describe_devices() {
  int count = 0, driver = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  static_cast<void>(cudaGetLastError());
  static_cast<void>(cudaDriverGetVersion(&driver));
  if (driver == 0) return "compiled in, but there is no NVIDIA driver on this machine; everything runs on the CPU";
  if (status != cudaSuccess)
    return std::string("compiled in, but no device can be used: ") + cudaGetErrorString(status) + " (driver for CUDA " +
           version_text(driver) + ")";
  std::string text = "compiled in (experimental), driver for CUDA " + version_text(driver);
  for (int n = 0; n < count; ++n) {
    cudaDeviceProp device{};
    if (cudaGetDeviceProperties(&device, n) != cudaSuccess) continue;
    text += std::string("; ") + device.name + " with " + std::to_string(device.totalGlobalMem >> 30) + " GiB, sm_" +
            std::to_string(device.major) + std::to_string(device.minor);
  }
  return text;
}

}  // namespace

bool compiled() { return true; }

int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  static_cast<void>(cudaGetLastError());  // no driver and no device are answers, not errors
  return 0;
}

const char* status() {
  static const std::string text = describe_devices();
  return text.c_str();
}

int current_device() {
  int device = 0;
  DIFFMPM_CUDA_CHECK(cudaGetDevice(&device));
  return device;
}

void set_current_device(int device) { DIFFMPM_CUDA_CHECK(cudaSetDevice(device)); }

cudaMemPool_t memory_pool() {
  static std::mutex busy;
  static std::map<int, cudaMemPool_t> pools;  // of each device, kept to the end of the process
  const int device = current_device();
  const std::lock_guard lock(busy);
  cudaMemPool_t& pool = pools[device];
  if (!pool) {
    cudaMemPoolProps props{};
    props.allocType = cudaMemAllocationTypePinned;
    props.location.type = cudaMemLocationTypeDevice;
    props.location.id = device;
    DIFFMPM_CUDA_CHECK(cudaMemPoolCreate(&pool, &props));
    std::uint64_t keep = UINT64_MAX;  // bytes that stay in the pool when the host waits
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
  std::uint64_t zero = 0;  // the only value that it may be set to
  if (reset_peak) DIFFMPM_CUDA_CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &zero));
  return use;
}

namespace {

// Null where there is none left.
std::shared_ptr<void> take_memory(std::size_t bytes, int device, cudaStream_t stream) {
  if (uses_source(device, stream)) return take_from_source(bytes);
  void* memory = nullptr;
  const cudaError_t status = cudaMallocFromPoolAsync(&memory, bytes, memory_pool(), stream);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    return {};
  }
  DIFFMPM_CUDA_CHECK(status);
  // Nothing may be thrown here, and at the end of a process the device may be gone already. The device has to be current, because
  // the default stream is that of the current one.
  return {memory, [device, stream](void* p) {
            int before = device;
            static_cast<void>(cudaGetDevice(&before));
            if (before != device) static_cast<void>(cudaSetDevice(device));
            static_cast<void>(cudaFreeAsync(p, stream));
            if (before != device) static_cast<void>(cudaSetDevice(before));
          }};
}

}  // namespace

void release_idle_memory() {
  count_host_wait();
  DIFFMPM_CUDA_CHECK(cudaDeviceSynchronize());  // what was freed in the order of a stream is idle from there on
  DIFFMPM_CUDA_CHECK(cudaMemPoolTrimTo(memory_pool(), 0));
}

std::shared_ptr<void> allocate_on(std::size_t size, cudaStream_t stream) {
  const std::size_t bytes =
      size > 0 ? size : 1;  // an empty buffer has an address: null means an argument that is absent
  const int device = current_device();
  if (std::shared_ptr<void> memory = take_memory(bytes, device, stream)) return memory;
  release_idle_memory();  // another size, or another library, may find room then
  if (std::shared_ptr<void> memory = take_memory(bytes, device, stream)) return memory;
  const MemoryUse there = memory_use();
  throw DeviceMemoryError(device, bytes, there.free, there.total);
}

}  // namespace diffmpm::cuda
