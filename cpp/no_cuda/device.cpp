// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// The CUDA backend of builds without it: no table, no device and no device memory.
#include "diffmpm/core/device.hpp"

#include "diffmpm/backend.hpp"
#include "diffmpm/core/device_arrays.hpp"

namespace diffmpm {

template <>
const Backend<float>* cuda_backend() {
  return nullptr;
}
template <>
const Backend<double>* cuda_backend() {
  return nullptr;
}

namespace cuda {

bool compiled() { return false; }
int device_count() { return 0; }
const char* status() {
  return "not in this build, everything runs on the CPU; build it where nvcc works, with DIFFMPM_WITH_CUDA=ON";
}
int current_device() { refuse(); }
void set_current_device(int) { refuse(); }
void set_memory_source(const MemorySource&) { refuse(); }
SourceStream& source_stream() { refuse(); }
MemoryUse memory_use(bool) { refuse(); }
void release_idle_memory() { refuse(); }
std::int64_t host_waits() { return 0; }
std::shared_ptr<void> allocate(std::size_t, void*) { refuse(); }
void upload(void*, const void*, std::size_t, void*) { refuse(); }
void download(void*, const void*, std::size_t, void*) { refuse(); }
void copy(void*, const void*, std::size_t, void*) { refuse(); }
void refuse_capture(void*) { refuse(); }
void wait_for(void*, void*) { refuse(); }

}  // namespace cuda

}  // namespace diffmpm
