// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/core/memory.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <string>

#include "diffmpm/core/device.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace diffmpm {
namespace {

constexpr std::size_t kHugePage = std::size_t{1} << 21;
constexpr std::size_t kKeepFrom = std::size_t{1} << 16;    // smaller blocks are the allocator's business
constexpr std::size_t kKeepAtMost = std::size_t{1} << 29;  // bytes kept idle

void* allocate_raw(std::size_t bytes, std::size_t alignment) {
  void* memory = ::operator new(bytes, std::align_val_t{alignment});
#if defined(__linux__)
  if (alignment == kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);  // only a hint: failure costs speed, nothing else
#endif
  return memory;
}

struct Block {
  void* memory;
  std::size_t bytes, alignment;
  void free() const { ::operator delete(memory, std::align_val_t{alignment}); }
};

// Idle blocks by size. Leaked on purpose: buffers may be given back while the process ends.
class Pool {
 public:
  Block take(std::size_t bytes) {
    const std::size_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
    const std::size_t size = std::max(kAlignment, (bytes + alignment - 1) / alignment * alignment);
    {
      const std::lock_guard lock(mutex_);
      const auto found = idle_.lower_bound(size);
      if (found != idle_.end() && found->first <= size + size / 8) {
        const Block block = found->second;
        idle_.erase(found);
        idle_bytes_ -= block.bytes;
        return block;
      }
    }
    return {allocate_raw(size, alignment), size, alignment};
  }
  void give_back(const Block& block) {
    {
      const std::lock_guard lock(mutex_);
      if (block.bytes >= kKeepFrom && idle_bytes_ + block.bytes <= kKeepAtMost) {
        idle_.emplace(block.bytes, block);
        idle_bytes_ += block.bytes;
        return;
      }
    }
    block.free();
  }

 private:
  std::mutex mutex_;
  std::multimap<std::size_t, Block> idle_;
  std::size_t idle_bytes_ = 0;
};

Pool& pool() {
  static Pool* const instance = new Pool;
  return *instance;
}

}  // namespace

std::shared_ptr<void> allocate_bytes(std::size_t bytes) {
  const Block block = pool().take(bytes);
  return {block.memory, [block](void*) { pool().give_back(block); }};
}

// A sum over the words of both halves multiplied, each after it was mixed with its place: as fast as memory can be read.
std::uint64_t fingerprint(const void* data, std::size_t bytes) {
  const auto mixed = [](std::uint64_t word, std::uint64_t place) {
    const std::uint64_t key = word ^ ((place + 1) * 0x9E3779B97F4A7C15u);
    return (key & 0xFFFFFFFFu) * (key >> 32) + word;
  };
  const auto* const from = static_cast<const unsigned char*>(data);
  const std::size_t words = bytes / sizeof(std::uint64_t);
  std::uint64_t sum = bytes;
  for (std::size_t n = 0; n < words; ++n) {
    std::uint64_t word;
    std::memcpy(&word, from + n * sizeof(word), sizeof(word));
    sum += mixed(word, n);
  }
  std::uint64_t rest = 0;
  std::memcpy(&rest, from + words * sizeof(rest), bytes % sizeof(rest));
  return sum + mixed(rest, words);
}

std::size_t available_memory() {
#if defined(__linux__)
  if (std::FILE* file = std::fopen("/proc/meminfo", "r")) {
    char line[128];
    unsigned long long kilobytes = 0;
    while (std::fgets(line, sizeof(line), file))
      if (std::sscanf(line, "MemAvailable: %llu kB", &kilobytes) == 1) break;
    std::fclose(file);
    return static_cast<std::size_t>(kilobytes) * 1024;
  }
#endif
  return 0;
}

std::size_t default_memory_budget() {
  const std::size_t bytes = available_memory();
  return bytes > 0 ? bytes / 4 : std::size_t{1} << 30;
}

namespace cuda {
namespace {

std::string size_text(std::size_t bytes) {
  static constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB"};
  int unit = 0;
  auto value = static_cast<double>(bytes);
  for (; value >= 1024 && unit < 3; ++unit) value /= 1024;
  char text[32];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f %s" : "%.2f %s", value, kUnits[unit]);
  return text;
}

}  // namespace

DeviceMemoryError::DeviceMemoryError(int device, std::size_t asked, std::size_t free, std::size_t total)
    : DeviceMemoryError(
          "cuda:" + std::to_string(device) + ": expected " + size_text(asked) + " of device memory, got " +
          size_text(free) + " free of " + size_text(total) +
          "; drop arrays that are no longer used, or compute less at a time (particles, images, memory_budget)") {}

}  // namespace cuda

}  // namespace diffmpm
