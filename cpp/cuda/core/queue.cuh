// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>
#include <memory>

#include "core/block.cuh"
#include "core/error.cuh"
#include "core/graph.cuh"
#include "core/pairs.cuh"
#include "core/source.hpp"
#include "diffmpm/core/device.hpp"
#include "diffmpm/core/memory.hpp"
#include "diffmpm/mpm/params.hpp"

// A stream of the current device: stream-ordered memory, kernels, copies, sorts and sums. Only to_host waits, and from_host for
// arrays that the driver does not stage. The tests have a class of the same interface that runs on the CPU.

namespace diffmpm::cuda {

// Stream-ordered memory of the current device. If it is exhausted, releases the memory cached in the pool and tries again. Throws
// DeviceMemoryError.
std::shared_ptr<void> allocate_on(std::size_t size, cudaStream_t stream);

class Queue {
 public:
  // A cudaStream_t that outlives everything allocated on it.
  explicit Queue(void* stream) : stream_(static_cast<cudaStream_t>(stream)) {
    if (device_count() == 0) refuse();
  }
  explicit Queue(const Context& context) : Queue(context.stream) {}

  template <class V>
  Buffer<V> allocate(std::int64_t count) {
    const auto size = static_cast<std::size_t>(count);
    return {allocate_on(size * sizeof(V), stream_), size};
  }

  template <class Kernel>
  void launch(std::int64_t blocks, const typename Kernel::Args& args) {
    using Shared = typename Kernel::Shared;
    static_assert(sizeof(Shared) <= kMostShared, "shared memory per block of every device");
    constexpr unsigned kDynamicShared = sizeof(Shared) > kStaticShared ? sizeof(Shared) : 0;
    if (blocks == 0) return;
    const KernelShape shape{reinterpret_cast<const void*>(&kernel_entry<Kernel>), static_cast<unsigned>(blocks),
                            kThreadsOf<Kernel>, kDynamicShared};
    if constexpr (kDynamicShared > 0) {
      static std::atomic<std::uint64_t> granted;
      grant_shared(shape, granted);
    }
    if (chain_) {
      chain_->add(shape, &args, sizeof(args));
      return;
    }
    kernel_entry<Kernel><<<shape.blocks, shape.threads, shape.shared, stream_>>>(args);
    DIFFMPM_CUDA_CHECK(cudaGetLastError());
  }
  template <class Item>
  void for_all(const Item& item) {
    launch<ForAll<Item>>((item.count + kThreads - 1) / kThreads, item);
  }

  // Calls body(), which only launches kernels; they run as one graph.
  template <class Body>
  void batch(const Body& body) {
    if (!graphs_enabled()) return body();
    struct Recording {
      KernelChain*& at;
      ~Recording() { at = nullptr; }
    };
    KernelChain chain;
    chain_ = &chain;
    const Recording recording{chain_};
    body();
    chain.launch(stream_);
  }

  template <class V>
  void to_host(V* to, const V* from, std::int64_t count) {
    devices().refuse_capture(stream_);
    count_host_wait();
    DIFFMPM_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes<V>(count), cudaMemcpyDeviceToHost, stream_));
    DIFFMPM_CUDA_CHECK(cudaStreamSynchronize(stream_));
  }
  // The caller may change the host memory as soon as this returns.
  template <class V>
  void from_host(V* to, const V* from, std::int64_t count) {
    if (bytes<V>(count) > kStagedCopy) count_host_wait();
    DIFFMPM_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes<V>(count), cudaMemcpyHostToDevice, stream_));
  }
  template <class V>
  void copy(V* to, const V* from, std::int64_t count) {
    DIFFMPM_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes<V>(count), cudaMemcpyDeviceToDevice, stream_));
  }
  template <class V>
  void clear(V* values, std::int64_t count) {
    DIFFMPM_CUDA_CHECK(cudaMemsetAsync(values, 0, bytes<V>(count), stream_));
  }

  template <class V>
  void inclusive_sum(V* values, std::int64_t count) {
    with_workspace([&](void* work, std::size_t& size) {
      return cub::DeviceScan::InclusiveSum(work, size, values, values, count, stream_);
    });
  }
  // Stable, by the lowest `bits` bits of the keys.
  void sort_pairs(std::uint64_t* keys, Index* values, std::int64_t count, int bits) {
    const auto keys_out = allocate<std::uint64_t>(count);
    const auto values_out = allocate<Index>(count);
    with_workspace([&](void* work, std::size_t& size) {
      return cub::DeviceRadixSort::SortPairs(work, size, keys, keys_out.data(), values, values_out.data(), count, 0,
                                             bits, stream_);
    });
    copy(keys, keys_out.data(), count);
    copy(values, values_out.data(), count);
  }

  // Stable, by the lowest `bits` bits of the keys, alternating between `pairs` and `spare`; returns the one with the result.
  template <class Key>
  Pairs<Key> sort(Pairs<Key> pairs, Pairs<Key> spare, std::int64_t count, int bits) {
    cub::DoubleBuffer<Key> keys(pairs.keys, spare.keys);
    cub::DoubleBuffer<Index> values(pairs.values, spare.values);
    with_workspace([&](void* work, std::size_t& size) {
      return cub::DeviceRadixSort::SortPairs(work, size, keys, values, static_cast<Index>(count), 0, bits, stream_);
    });
    return {keys.Current(), values.Current()};
  }

  // Later work of this stream waits for the present work of the other one.
  void wait_for(void* other) {
    cudaEvent_t event = nullptr;
    DIFFMPM_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    const std::shared_ptr<CUevent_st> owner(event, [](cudaEvent_t e) { static_cast<void>(cudaEventDestroy(e)); });
    DIFFMPM_CUDA_CHECK(cudaEventRecord(event, static_cast<cudaStream_t>(other)));
    DIFFMPM_CUDA_CHECK(cudaStreamWaitEvent(stream_, event, 0));
  }

  std::size_t free_memory() const { return devices().memory_use(false).free; }

 private:
  template <class V>
  static std::size_t bytes(std::int64_t count) {
    return static_cast<std::size_t>(count) * sizeof(V);
  }
  // CUB is called twice: for the size of its work space, then with it.
  template <class Call>
  void with_workspace(const Call& call) {
    std::size_t size = 0;
    DIFFMPM_CUDA_CHECK(call(nullptr, size));
    const std::shared_ptr<void> work = allocate_on(size, stream_);
    DIFFMPM_CUDA_CHECK(call(work.get(), size));
  }

  cudaStream_t stream_;
  KernelChain* chain_ = nullptr;  // in a batch
};

}  // namespace diffmpm::cuda
