// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace diffmpm::cuda {

// Whether memory for work on this stream comes from another library.
bool uses_source(int device, void* stream);

// Memory of that library; null if it has none left.
std::shared_ptr<void> take_from_source(std::size_t bytes);

// Counts how often the host waits for a device; `host_waits` of diffmpm/core/device_arrays.hpp returns it.
inline std::atomic<std::int64_t> host_wait_count{0};
inline void count_host_wait() { host_wait_count.fetch_add(1, std::memory_order_relaxed); }

// Larger copies from the host may wait for the stream: the driver stages pageable memory.
inline constexpr std::size_t kStagedCopy = std::size_t{1} << 16;

}  // namespace diffmpm::cuda
