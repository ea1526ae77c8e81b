// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

// The emulated devices of DIFFMPM_EMULATE_CUDA: DIFFMPM_EMULATED_DEVICES of them, by default one. Their memory is host memory,
// registered by address, so that an access from another device is an error. Tests read the log, limit memory and make allocations
// fail through the C functions at the end of devices.cpp.

namespace diffmpm::testing {

// Memory of the current device for work on a stream, filled with NaN. Throws cuda::DeviceMemoryError.
std::shared_ptr<void> take_memory(std::size_t bytes, void* stream);

enum class Work : int { launch, copy, to_host, from_host, allocate, wait };

// Logs work on a stream of `device`, which must be current, and checks the memory behind `pointers`.
void note_work(Work work, int device, void* stream, const void* pointers, std::size_t size);

template <class... Pointer>
void note(Work work, int device, void* stream, Pointer*... pointers) {
  const void* const all[] = {pointers..., nullptr};
  note_work(work, device, stream, all, sizeof(all));
}

}  // namespace diffmpm::testing
