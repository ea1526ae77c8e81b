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

}  // namespace diffmpm::cuda
