// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <utility>

// Aligned memory for particle state. Freed memory is cached, at most 256 MB or as much as is in use, because fresh pages cost as much
// as a step: the system clears each of them. The rest is returned to the system at once.

namespace diffmpm {

inline constexpr std::size_t kAlignment = 64;  // a cache line; JAX requires it of shared memory

// Uninitialised bytes, shared with the arrays that are returned to the caller.
std::shared_ptr<void> allocate_bytes(std::size_t bytes);

// Bytes that this process can still allocate within the limits of the system, its control groups and its own; 0 if unknown.
std::size_t available_memory();
// The same from a copy of the system files in another folder, for tests.
std::size_t available_memory_in(const std::string& root);

// Throws std::invalid_argument if `bytes` are more than half of the available memory: "<what>, got <need> GB of ...; <remedy>".
void require_memory(double bytes, const char* what, const char* remedy);

// A quarter of the available and the cached memory, or 1 GiB if unknown.
std::size_t default_memory_budget();

// Checksum that detects changes of an array.
std::uint64_t fingerprint(const void* data, std::size_t bytes);

template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t count) : Buffer(allocate_bytes(bytes_of(count)), count) {}
  // Existing memory, for example of a device.
  Buffer(std::shared_ptr<void> memory, std::size_t count) : memory_(std::move(memory)), count_(count) {}
  T* data() const { return static_cast<T*>(memory_.get()); }
  std::size_t size() const { return count_; }
  explicit operator bool() const { return static_cast<bool>(memory_); }
  void reset() { memory_.reset(), count_ = 0; }
  // Room for at least `count` values; growing discards the content.
  void reserve(std::size_t count) {
    if (count > count_) *this = Buffer(count);
  }
  const std::shared_ptr<void>& owner() const { return memory_; }

 private:
  static std::size_t bytes_of(std::size_t count) {
    if (count > (~std::size_t{0} >> 1) / sizeof(T)) throw std::bad_alloc();
    return count * sizeof(T);
  }

  std::shared_ptr<void> memory_;
  std::size_t count_ = 0;
};

}  // namespace diffmpm
