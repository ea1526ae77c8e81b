// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "devices.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core/copies.cuh"
#include "core/source.hpp"
#include "diffmpm/core/device.hpp"
#include "diffmpm/core/memory.hpp"

namespace diffmpm {
namespace {

constexpr int kMostDevices = 8;
constexpr std::size_t kMemory = std::size_t{1}
                                << 30;  // per device, unless a test sets a limit: small, so that budgets matter

thread_local int current = 0;

struct Block {
  std::uintptr_t end;
  int device;
};

struct Entry {
  std::int64_t work, device;
  std::intptr_t stream;
};

// Never destroyed: arrays may be freed while the process exits.
struct State {
  std::mutex busy;
  std::map<std::uintptr_t, Block> blocks;  // by start address
  std::array<std::size_t, kMostDevices> used{}, peak{};
  std::size_t limit = 0;                      // bytes per device; 0: none
  std::int64_t allocations = 0, failing = 0;  // the allocation that fails, counted like `allocations`; 0: none
  bool logs = false, captures = false;
  std::vector<Entry> log;
};
State& state() {
  static State* const instance = new State;
  return *instance;
}

}  // namespace

namespace cuda {

namespace {

int emulated_count() {
  const char* count = std::getenv("DIFFMPM_EMULATED_DEVICES");
  return count ? std::clamp(std::atoi(count), 0, kMostDevices) : 1;
}

const char* status_text() { return "compiled in, emulated on the CPU for tests"; }

int current_device() { return current; }

void set_current_device(int device) {
  if (device < 0 || device >= device_count()) throw DeviceError("CUDA: invalid device ordinal");
  current = device;
}

void refuse_capture(void*) {
  if (state().captures) throw DeviceError(kCaptured);
}

void release_idle_memory() { count_host_wait(); }

MemoryUse memory_use(bool reset_peak) {
  State& s = state();
  const auto at = static_cast<std::size_t>(current);
  const std::lock_guard lock(s.busy);
  const std::size_t total = s.limit > 0 ? s.limit : kMemory;
  const MemoryUse use{s.limit > 0 ? total - std::min(total, s.used[at]) : total, total, s.used[at], s.peak[at]};
  if (reset_peak) s.peak[at] = s.used[at];
  return use;
}

}  // namespace

const DeviceFunctions* device_functions() {
  static constexpr DeviceFunctions table{emulated_count,   status_text,         current_device,   set_current_device,
                                         memory_use,       release_idle_memory, copies::allocate, copies::upload,
                                         copies::download, copies::copy,        refuse_capture,   copies::wait_for};
  return &table;
}

}  // namespace cuda

namespace testing {

std::shared_ptr<void> take_memory(std::size_t bytes, void* stream) {
  State& s = state();
  const int device = current;
  const auto at = static_cast<std::size_t>(device);
  const bool lent = cuda::uses_source(device, stream);
  std::shared_ptr<void> memory = lent ? cuda::take_from_source(std::max<std::size_t>(bytes, 1)) : allocate_bytes(bytes);
  if (!memory) throw cuda::DeviceMemoryError(device, bytes, 0, kMemory);
  std::memset(memory.get(), 0xff, bytes);
  const auto begin = reinterpret_cast<std::uintptr_t>(memory.get());
  const std::lock_guard lock(s.busy);
  const std::size_t limit = s.limit > 0 ? s.limit : kMemory, free = limit - std::min(limit, s.used[at]);
  if (++s.allocations == s.failing || (s.limit > 0 && bytes > free))
    throw cuda::DeviceMemoryError(device, bytes, free, limit);
  s.blocks[begin] = {begin + std::max<std::size_t>(bytes, 1), device};
  s.used[at] += bytes, s.peak[at] = std::max(s.peak[at], s.used[at]);
  return {memory.get(), [memory, begin, bytes, at](void*) {
            State& now = state();
            const std::lock_guard guard(now.busy);
            now.blocks.erase(begin), now.used[at] -= bytes;
          }};
}

void note_work(Work work, int device, void* stream, const void* pointers, std::size_t size) {
  if (device != current) throw std::logic_error("work for a device that is not the current one");
  State& s = state();
  const std::lock_guard lock(s.busy);
  for (std::size_t n = 0; n + sizeof(std::uintptr_t) <= size; n += sizeof(std::uintptr_t)) {
    std::uintptr_t address = 0;
    std::memcpy(&address, static_cast<const unsigned char*>(pointers) + n, sizeof(address));
    auto block = s.blocks.upper_bound(address);
    if (block == s.blocks.begin()) continue;
    --block;
    if (address < block->second.end && block->second.device != device)
      throw std::logic_error("work for a device with memory of another one");
  }
  if (s.logs) s.log.push_back({static_cast<int>(work), device, reinterpret_cast<std::intptr_t>(stream)});
}

}  // namespace testing

}  // namespace diffmpm

// Called by tests through ctypes.

#if defined(_WIN32)
#define DIFFMPM_HOOK extern "C" __declspec(dllexport)
#else
#define DIFFMPM_HOOK extern "C" __attribute__((visibility("default")))
#endif

using diffmpm::state;

// Memory of each device in bytes; 0: no limit.
DIFFMPM_HOOK void diffmpm_emulated_limit(std::int64_t bytes) {
  const std::lock_guard lock(state().busy);
  state().limit = static_cast<std::size_t>(bytes);
}
// Whether all streams are being captured into graphs.
DIFFMPM_HOOK void diffmpm_emulated_capture(int captures) { state().captures = captures != 0; }
// Makes the k-th allocation from now on fail, once; 0: none. Returns the number of allocations since the last call.
DIFFMPM_HOOK std::int64_t diffmpm_emulated_fail(std::int64_t k) {
  const std::lock_guard lock(state().busy);
  state().failing = k;
  return std::exchange(state().allocations, 0);
}
// Starts or stops the log. Returns the number of entries.
DIFFMPM_HOOK std::int64_t diffmpm_emulated_log(int on) {
  const std::lock_guard lock(state().busy);
  state().logs = on != 0;
  if (on != 0) state().log.clear();
  return static_cast<std::int64_t>(state().log.size());
}
// Work, device and stream of an entry.
DIFFMPM_HOOK void diffmpm_emulated_entry(std::int64_t n, std::int64_t* out) {
  const std::lock_guard lock(state().busy);
  const auto& entry = state().log.at(static_cast<std::size_t>(n));
  out[0] = entry.work, out[1] = entry.device, out[2] = entry.stream;
}
