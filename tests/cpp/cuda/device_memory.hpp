// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "diffmpm/backend.hpp"
#include "diffmpm/core/device.hpp"

// Shared by tests on a GPU: device memory, and whether a device exists.

namespace diffmpm::testing {

class DeviceMemory {
 public:
  template <class T>
  const T* upload(const std::vector<T>& values) {
    T* memory = allocate<T>(values.size());
    REQUIRE(cudaMemcpy(memory, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);  // for streams that do not wait for the default one
    return memory;
  }
  template <class T>
  T* allocate(std::size_t count) {
    void* memory = nullptr;
    REQUIRE(cudaMalloc(&memory, count * sizeof(T)) == cudaSuccess);
    kept_.emplace_back(memory, &cudaFree);
    return static_cast<T*>(memory);
  }
  template <class T>
  std::vector<T> download(const T* values, std::size_t count) {
    std::vector<T> out(count);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    REQUIRE(cudaMemcpy(out.data(), values, count * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return out;
  }

 private:
  std::vector<std::unique_ptr<void, cudaError_t (*)(void*)>> kept_;
};

inline constexpr Context kDevice{0};

template <class T>
std::unique_ptr<Rollout<T>> device_rollout(const MpmParams& params, const RolloutInput<T>& input,
                                           void* stream = nullptr) {
  const Context context{0, stream};
  return backend<T>(context).mpm.rollout(context, params, input);
}

inline bool no_device() {
  if (cuda::device_count() > 0) return false;
  MESSAGE("skipped: " << std::string(cuda::status()));
  return true;
}

}  // namespace diffmpm::testing
