// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/core/device_arrays.hpp"

#include "core/queue.cuh"
#include "core/source.hpp"

namespace diffmpm::cuda {
namespace {

const unsigned char* bytes(const void* p) { return static_cast<const unsigned char*>(p); }
unsigned char* bytes(void* p) { return static_cast<unsigned char*>(p); }
std::int64_t length(std::size_t size) { return static_cast<std::int64_t>(size); }

MemorySource source;

}  // namespace

void set_memory_source(const MemorySource& new_source) { source = new_source; }

SourceStream& source_stream() {
  thread_local SourceStream stream;
  return stream;
}

bool uses_source(int device, void* stream) {
  const SourceStream& lent = source_stream();
  return source.allocate && lent.device == device && lent.stream == stream;
}

std::shared_ptr<void> take_from_source(std::size_t bytes) {
  void* memory = nullptr;
  if (source.allocate(bytes, &memory) != 0) return {};
  return {memory, [give_back = source.free](void* p) { static_cast<void>(give_back(p)); }};
}

std::int64_t host_waits() { return host_wait_count.load(std::memory_order_relaxed); }

std::shared_ptr<void> allocate(std::size_t size, void* stream) {
  return Queue(stream).allocate<unsigned char>(length(size)).owner();
}
void upload(void* to, const void* from, std::size_t size, void* stream) {
  Queue(stream).from_host(bytes(to), bytes(from), length(size));
}
void download(void* to, const void* from, std::size_t size, void* stream) {
  Queue(stream).to_host(bytes(to), bytes(from), length(size));
}
void copy(void* to, const void* from, std::size_t size, void* stream) {
  Queue(stream).copy(bytes(to), bytes(from), length(size));
}
void wait_for(void* stream, void* other) {
  if (stream != other) Queue(stream).wait_for(other);
}

}  // namespace diffmpm::cuda
