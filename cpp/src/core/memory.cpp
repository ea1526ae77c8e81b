// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/core/memory.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "diffmpm/core/device.hpp"

#if defined(__linux__)
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

namespace diffmpm {
namespace {

constexpr std::size_t kHugePage = std::size_t{1} << 21;
constexpr std::size_t kCacheFrom = std::size_t{1} << 16;    // smaller blocks are not cached
constexpr std::size_t kCacheAlways = std::size_t{1} << 28;  // bytes of idle blocks that are cached whatever is in use
constexpr std::size_t kSizesPerDoubling = 8;  // a change of the order of particles changes the size of a state by less
constexpr std::size_t kTrimFrom = std::size_t{1} << 26;  // idle bytes of the allocator

std::size_t multiple_above(std::size_t bytes, std::size_t of) { return of > 1 ? (bytes + of - 1) / of * of : bytes; }

void* allocate_raw(std::size_t bytes, std::size_t alignment) {
  void* memory = ::operator new(bytes, std::align_val_t{alignment});
#if defined(__linux__)
  if (alignment == kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);  // a hint; failure only costs speed
#endif
  return memory;
}

// Returns idle pages of the allocator to the system.
void trim_allocator() {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

struct Block {
  void* memory;
  std::size_t bytes, alignment;
  void free() const { ::operator delete(memory, std::align_val_t{alignment}); }
};

// Idle blocks by size, at most as many bytes as are in use: a loop that replaces one of two rollouts then allocates no fresh pages.
// Leaked on purpose: buffers may be freed at process exit.
class Pool {
 public:
  Block take(std::size_t bytes) {
    const std::size_t rounded = multiple_above(bytes, std::bit_floor(bytes) / kSizesPerDoubling);
    const std::size_t alignment = rounded >= kHugePage ? kHugePage : kAlignment;
    const std::size_t size = std::max(kAlignment, multiple_above(rounded, alignment));
    {
      const std::lock_guard lock(mutex_);
      const auto idle = idle_.lower_bound(size);
      if (idle != idle_.end() && idle->first <= size + size / kSizesPerDoubling) {
        const Block block = idle->second;
        idle_.erase(idle);
        idle_bytes_ -= block.bytes;
        used_bytes_ += block.bytes;
        return block;
      }
    }
    const Block block{allocate(size, alignment), size, alignment};
    const std::lock_guard lock(mutex_);
    used_bytes_ += size;
    loose_bytes_ -= std::min(loose_bytes_, size);
    return block;
  }
  void release(const Block& block) noexcept {
    if (!cache(block)) free(block);
    for (Block surplus; take_idle(surplus, false);) free(surplus);
  }
  std::size_t idle_bytes() {
    const std::lock_guard lock(mutex_);
    return idle_bytes_;
  }

 private:
  void* allocate(std::size_t size, std::size_t alignment) {
    try {
      return allocate_raw(size, alignment);
    } catch (const std::bad_alloc&) {
      for (Block idle; take_idle(idle, true);) free(idle);
      return allocate_raw(size, alignment);
    }
  }

  bool cache(const Block& block) noexcept {
    const std::lock_guard lock(mutex_);
    used_bytes_ -= block.bytes;
    if (block.bytes < kCacheFrom || idle_bytes_ + block.bytes > most_idle_bytes()) return false;
    try {
      idle_.emplace(block.bytes, block);
    } catch (const std::bad_alloc&) {
      return false;
    }
    idle_bytes_ += block.bytes;
    return true;
  }

  std::size_t most_idle_bytes() const { return std::max(kCacheAlways, used_bytes_); }

  // Removes the largest idle block if there are too many, or in any case.
  bool take_idle(Block& block, bool any) noexcept {
    const std::lock_guard lock(mutex_);
    if (idle_.empty() || (!any && idle_bytes_ <= most_idle_bytes())) return false;
    const auto last = std::prev(idle_.end());
    block = last->second;
    idle_.erase(last);
    idle_bytes_ -= block.bytes;
    return true;
  }

  void free(const Block& block) noexcept {
    block.free();
    bool trim;
    {
      const std::lock_guard lock(mutex_);
      loose_bytes_ += block.bytes;
      // Not below the bytes in use: the next rollout of a loop would allocate them again.
      trim = loose_bytes_ > std::max(kTrimFrom, used_bytes_);
      if (trim) loose_bytes_ = 0;
    }
    if (trim) trim_allocator();
  }

  std::mutex mutex_;
  std::multimap<std::size_t, Block> idle_;
  std::size_t idle_bytes_ = 0, used_bytes_ = 0;
  std::size_t loose_bytes_ = 0;  // freed, but possibly not returned to the system by the allocator
};

Pool& pool() {
  static Pool* const instance = new Pool;
  return *instance;
}

}  // namespace

std::shared_ptr<void> allocate_bytes(std::size_t bytes) {
  const Block block = pool().take(bytes);
  return {block.memory, [block](void*) { pool().release(block); }};
}

// A sum over words, each mixed with its position and its halves multiplied: as fast as memory can be read.
std::uint64_t fingerprint(const void* data, std::size_t bytes) {
  const auto mixed = [](std::uint64_t word, std::uint64_t position) {
    const std::uint64_t key = word ^ ((position + 1) * 0x9E3779B97F4A7C15u);
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

#if defined(__linux__)
namespace {

constexpr std::size_t kNoLimit = ~std::size_t{0};

// Lines of a system file; none if it cannot be read.
std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  if (std::FILE* file = std::fopen(path.c_str(), "re")) {
    char line[4096];
    while (std::fgets(line, sizeof(line), file)) lines.emplace_back(line);
    std::fclose(file);
  }
  return lines;
}

// The number in the line that begins with `key`, or `otherwise`.
std::size_t number_of(const std::string& path, const std::string& key, std::size_t otherwise) {
  for (const std::string& line : lines_of(path)) {
    unsigned long long number = 0;
    if (line.compare(0, key.size(), key) == 0 && std::sscanf(line.c_str() + key.size(), "%llu", &number) == 1)
      return static_cast<std::size_t>(number);
  }
  return otherwise;
}

std::size_t difference(std::size_t limit, std::size_t used) { return limit > used ? limit - used : 0; }

// Remaining memory of a control group and its parents. Cached files count as used there, but are dropped when memory is short.
std::size_t left_in_groups(const std::string& mount, std::string group, const char* limit, const char* used) {
  std::size_t left = kNoLimit;
  for (;;) {
    const std::string folder = mount + group;
    const std::size_t most = number_of(folder + limit, "", kNoLimit);  // "max" is no number
    if (most != kNoLimit)
      left = std::min(left, difference(most, difference(number_of(folder + used, "", 0),
                                                        number_of(folder + "/memory.stat", "inactive_file ", 0))));
    if (group.empty()) return left;
    group.resize(group.find_last_of('/'));
  }
}

std::size_t left_in_groups(const std::string& root) {
  std::size_t left = kNoLimit;
  for (std::string line : lines_of(root + "/proc/self/cgroup")) {  // number:controllers:/path
    while (!line.empty() && (line.back() == '\n' || line.back() == '/')) line.pop_back();
    const std::size_t first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers(",");
    controllers.append(line, first + 1, second - first - 1).append(",");
    const std::string group = line.substr(second + 1);
    if (!group.empty() && group[0] != '/') continue;
    if (controllers == ",,")
      left = std::min(left, left_in_groups(root + "/sys/fs/cgroup", group, "/memory.max", "/memory.current"));
    if (controllers.find(",memory,") != std::string::npos)
      left = std::min(left, left_in_groups(root + "/sys/fs/cgroup/memory", group, "/memory.limit_in_bytes",
                                           "/memory.usage_in_bytes"));
  }
  return left;
}

// Remaining address space of this process (ulimit -v).
std::size_t left_of_addresses(const std::string& root) {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kNoLimit;
  const std::size_t pages = number_of(root + "/proc/self/statm", "", 0);
  return difference(static_cast<std::size_t>(limit.rlim_cur), pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
}

}  // namespace

std::size_t available_memory_in(const std::string& root) {
  const std::size_t kilobytes = number_of(root + "/proc/meminfo", "MemAvailable:", 0);
  return std::min({kilobytes * 1024, left_in_groups(root), left_of_addresses(root)});
}
#else
std::size_t available_memory_in(const std::string&) { return 0; }
#endif

std::size_t available_memory() { return available_memory_in(""); }

void require_memory(double bytes, const char* what, const char* remedy) {
  constexpr double kNotChecked = 1 << 26;  // the query takes as long as a small call
  if (bytes < kNotChecked) return;
  const auto free = static_cast<double>(available_memory());
  if (free == 0 || bytes <= 0.5 * free) return;
  char sizes[64];
  std::snprintf(sizes, sizeof(sizes), ", got %.3g GB of %.3g GB; ", bytes / 1e9, free / 1e9);
  throw std::invalid_argument(std::string(what) + sizes + remedy);
}

std::size_t default_memory_budget() {
  const std::size_t bytes = available_memory();
  return bytes > 0 ? (bytes + pool().idle_bytes()) / 4 : std::size_t{1} << 30;
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

DeviceMemoryError::DeviceMemoryError(int device, std::size_t requested, std::size_t free, std::size_t total)
    : DeviceMemoryError(
          "cuda:" + std::to_string(device) + ": expected " + size_text(requested) + " of device memory, got " +
          size_text(free) + " free of " + size_text(total) +
          "; drop arrays that are no longer used, or compute less at a time (particles, images, memory_budget)") {}

}  // namespace cuda

}  // namespace diffmpm
