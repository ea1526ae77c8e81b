// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "../../emulation.hpp"
#include "../devices.hpp"
#include "core/source.hpp"
#include "diffmpm/core/device.hpp"

// Replaces cpp/cuda/core/queue.cuh when DIFFMPM_EMULATE_CUDA compiles the backend for the CPU. A stream is only a number; every
// call checks that the stream and all memory belong to the current device.

namespace diffmpm::cuda {

class Queue : public testing::EmulatedQueue {
 public:
  explicit Queue(void* stream) : stream_(stream), device_(devices().current()) {
    if (device_count() == 0) refuse();
  }
  explicit Queue(const Context& context) : Queue(context.stream) {}

  template <class V>
  Buffer<V> allocate(std::int64_t count) {
    note(Work::allocate);
    return {testing::take_memory(static_cast<std::size_t>(count) * sizeof(V), stream_),
            static_cast<std::size_t>(count)};
  }
  template <class Kernel>
  void launch(std::int64_t blocks, const typename Kernel::Args& args) {
    testing::note_work(Work::launch, device_, stream_, &args, sizeof(args));
    EmulatedQueue::launch<Kernel>(blocks, args);
  }
  template <class Item>
  void for_all(const Item& item) {
    launch<ForAll<Item>>((item.count + kThreads - 1) / kThreads, item);
  }
  template <class V>
  void to_host(V* to, const V* from, std::int64_t count) {
    note(Work::to_host, from), count_host_wait();
    EmulatedQueue::to_host(to, from, count);
  }
  template <class V>
  void from_host(V* to, const V* from, std::int64_t count) {
    note(Work::from_host, to);
    if (static_cast<std::size_t>(count) * sizeof(V) > kStagedCopy) count_host_wait();
    EmulatedQueue::from_host(to, from, count);
  }
  template <class V>
  void copy(V* to, const V* from, std::int64_t count) {
    note(Work::copy, to, from);
    EmulatedQueue::copy(to, from, count);
  }
  template <class V>
  void clear(V* values, std::int64_t count) {
    note(Work::copy, values);
    EmulatedQueue::clear(values, count);
  }
  template <class V>
  void inclusive_sum(V* values, std::int64_t count) {
    note(Work::launch, values), take_workspace(sizeof(V) * 64);
    EmulatedQueue::inclusive_sum(values, count);
  }
  void sort_pairs(std::uint64_t* keys, Index* values, std::int64_t count, int bits) {
    note(Work::launch, keys, values),
        take_workspace(static_cast<std::size_t>(count) * (sizeof(*keys) + sizeof(*values)));
    EmulatedQueue::sort_pairs(keys, values, count, bits);
  }
  template <class Key>
  Pairs<Key> sort(Pairs<Key> pairs, Pairs<Key> spare, std::int64_t count, int bits) {
    note(Work::launch, pairs.keys, pairs.values), note(Work::launch, spare.keys, spare.values);
    take_workspace(static_cast<std::size_t>(count));
    return EmulatedQueue::sort(pairs, spare, count, bits);
  }
  void wait_for(void* other) { note(Work::wait), testing::note_work(Work::wait, device_, other, nullptr, 0); }
  std::size_t free_memory() const { return devices().memory_use(false).free; }

 private:
  using Work = testing::Work;
  template <class... Pointer>
  void note(Work work, Pointer*... pointers) const {
    testing::note(work, device_, stream_, pointers...);
  }
  // Allocates as much as a device needs for a call.
  void take_workspace(std::size_t bytes) { static_cast<void>(testing::take_memory(bytes, stream_)); }

  void* stream_;
  int device_;
};

}  // namespace diffmpm::cuda
