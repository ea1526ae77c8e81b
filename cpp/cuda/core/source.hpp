// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "diffmpm/core/device.hpp"

namespace diffmpm::cuda {

// Whether memory for work on this stream comes from another library.
inline bool uses_source(int device, void* stream) {
  const SourceStream& lent = source_stream();
  return memory_source.allocate && lent.device == device && lent.stream == stream;
}

// Memory of that library; null if it has none left.
inline std::shared_ptr<void> take_from_source(std::size_t bytes) {
  void* memory = nullptr;
  if (memory_source.allocate(bytes, &memory) != 0) return {};
  return {memory, [free = memory_source.free](void* p) { static_cast<void>(free(p)); }};
}

inline void count_host_wait() { host_waits.fetch_add(1, std::memory_order_relaxed); }

// Larger copies from the host may wait for the stream: the driver stages pageable memory.
inline constexpr std::size_t kStagedCopy = std::size_t{1} << 16;

}  // namespace diffmpm::cuda
