// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Device memory in builds without the CUDA backend.
#include "diffmpm/core/device_arrays.hpp"
#include "diffmpm/core/device.hpp"

namespace diffmpm::cuda {
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
void wait_for(void*, void*) { refuse(); }

}  // namespace diffmpm::cuda
