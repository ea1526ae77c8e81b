// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/queue.cuh"

// The entries of DeviceFunctions that a Queue provides.
namespace diffmpm::cuda::copies {

inline const unsigned char* bytes(const void* p) { return static_cast<const unsigned char*>(p); }
inline unsigned char* bytes(void* p) { return static_cast<unsigned char*>(p); }
inline std::int64_t length(std::size_t size) { return static_cast<std::int64_t>(size); }

inline std::shared_ptr<void> allocate(std::size_t size, void* stream) {
  return Queue(stream).allocate<unsigned char>(length(size)).owner();
}
inline void upload(void* to, const void* from, std::size_t size, void* stream) {
  Queue(stream).from_host(bytes(to), bytes(from), length(size));
}
inline void download(void* to, const void* from, std::size_t size, void* stream) {
  Queue(stream).to_host(bytes(to), bytes(from), length(size));
}
inline void copy(void* to, const void* from, std::size_t size, void* stream) {
  Queue(stream).copy(bytes(to), bytes(from), length(size));
}
inline void wait_for(void* stream, void* other) {
  if (stream != other) Queue(stream).wait_for(other);
}

}  // namespace diffmpm::cuda::copies
