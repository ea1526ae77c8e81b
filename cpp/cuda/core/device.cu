// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/core/device.hpp"

#include <cuda_runtime.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "architectures.hpp"
#include "core/error.cuh"
#include "core/queue.cuh"
#include "core/survey.hpp"
#include "diffmpm/core/device_arrays.hpp"

namespace diffmpm::cuda {
namespace {

// What is on this machine. Looked at once: it stays as it is while a process runs.
const Survey& survey() {
  static const Survey found = [] {
    Survey s;
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    static_cast<void>(cudaGetLastError());  // no driver and no device are answers, not errors
    static_cast<void>(cudaDriverGetVersion(&s.driver));
    static_cast<void>(cudaRuntimeGetVersion(&s.runtime));
    s.architectures = DIFFMPM_CUDA_ARCHITECTURES;
    if (status != cudaSuccess) {
      s.error = cudaGetErrorString(status);
      return s;
    }
    for (int n = 0; n < count; ++n) {
      cudaDeviceProp device{};  // without code for it, if it does not answer
      static_cast<void>(cudaGetDeviceProperties(&device, n));
      s.devices.push_back({device.name, device.totalGlobalMem, device.major, device.minor});
    }
    static_cast<void>(cudaGetLastError());
    return s;
  }();
  return found;
}

}  // namespace

bool compiled() { return true; }

int device_count() {
  static const int count = usable_devices(survey());
  return count;
}

const char* status() {
  static const std::string text = describe(survey());
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
