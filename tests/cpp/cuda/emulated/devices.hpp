// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

// The devices of DIFFMPM_EMULATE_CUDA: as many as DIFFMPM_EMULATED_DEVICES says, or one. Their memory is memory of the host that
// is known by its address, so that work on one device with memory of another is an error. Tests look at what was done, limit the
// memory and let allocations fail by the functions of C at the end of devices.cpp.

namespace diffmpm::testing {

// Memory of the current device for work on a stream, filled with NaN. Throws cuda::DeviceMemoryError.
std::shared_ptr<void> take_memory(std::size_t bytes, void* stream);

enum class Work : int { launch, copy, to_host, from_host, allocate, wait };

// Work of a stream of `device`, which has to be current, with the memory that `pointers` point to where they are pointers at all.
void note_work(Work work, int device, void* stream, const void* pointers, std::size_t size);

template <class... Pointer>
void note(Work work, int device, void* stream, Pointer*... pointers) {
  const void* const all[] = {pointers..., nullptr};
  note_work(work, device, stream, all, sizeof(all));
}

}  // namespace diffmpm::testing
