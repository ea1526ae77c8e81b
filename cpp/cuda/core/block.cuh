// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/core/macros.hpp"

// How a kernel is written. It is a struct with the arguments it takes, the shared memory that a block has, and its body:
//
//   struct Kernel {
//     using Args = ...;
//     struct Shared { ... };
//     template <class Block>
//     static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a);
//   };
//
// The body is a sequence of phases, each a call of the block, with a barrier at its end. Shared memory, and global memory that
// the kernel writes, is touched inside of phases only, and within a phase no two items touch a value that one of them writes.
// So nothing depends on the order of threads: there are no atomic operations, and sums come out bitwise equal in every run.
// On a device a block is `DeviceBlock`; the tests run the very same body on the CPU, with the items of each phase shuffled.

namespace diffmpm::cuda {

inline constexpr int kThreads = 128;  // of a block
inline constexpr int kWarp = 32;
inline constexpr int kWarps = kThreads / kWarp;

// Fold body(n), n < count, with += into scratch[0], always in the same order.
template <class V, class Block, class Body>
DIFFMPM_HD void fold(Block& block, V (&scratch)[kThreads], int count, const Body& body) {
  block.for_each(kThreads, [&](int t) {
    V sum{};
    for (int n = t; n < count; n += kThreads) sum += body(n);
    scratch[t] = sum;
  });
  for (int half = kThreads / 2; half > 0; half /= 2)
    block.for_each(half, [&](int t) { scratch[t] += scratch[t + half]; });
}

// The kernel that calls item(n) for n < item.count, each by itself.
template <class Item>
struct ForAll {
  using Args = Item;
  struct Shared {};

  template <class Block>
  static DIFFMPM_HD void run(Block& block, Shared&, const Item& item) {
    const std::int64_t first = std::int64_t{block.index()} * kThreads, left = item.count - first;
    block.for_each(left < kThreads ? static_cast<int>(left) : kThreads, [&](int n) { item(first + n); });
  }
};

#if defined(__CUDACC__)

// One warp of a block, in a phase of its own: warps do not wait for each other in between.
struct DeviceWarp {
  __device__ int index() const { return static_cast<int>(threadIdx.x) / kWarp; }

  // body(n) for n < count, in any order and at the same time.
  template <class Body>
  __device__ void for_each(int count, const Body& body) {
    for (int n = static_cast<int>(threadIdx.x) % kWarp; n < count; n += kWarp) body(n);
    __syncwarp();
  }
};

// A value that a thread keeps from phase to phase, in registers. Item n of a phase belongs to thread n % kThreads.
template <class V>
class DeviceThreadValue {
 public:
  __device__ V& operator[](int) { return value_; }

 private:
  V value_;
};

struct DeviceBlock {
  template <class V>
  using ThreadValue = DeviceThreadValue<V>;
  template <class V>
  __device__ ThreadValue<V> thread_value() {
    return {};
  }

  __device__ int index() const { return static_cast<int>(blockIdx.x); }

  // body(n) for n < count, in any order and at the same time.
  template <class Body>
  __device__ void for_each(int count, const Body& body) {
    for (int n = static_cast<int>(threadIdx.x); n < count; n += kThreads) body(n);
    __syncthreads();
  }

  // Whether body(n) is true for any n < count. All are called.
  template <class Body>
  __device__ bool any(int count, const Body& body) {
    bool found = false;
    for (int n = static_cast<int>(threadIdx.x); n < count; n += kThreads) found |= body(n);
    return __syncthreads_or(found) != 0;
  }

  // Bit n % 32 of words[n / 32] = body(n), for n < count, which is a multiple of 32.
  template <class Body>
  __device__ void ballot(int count, std::uint32_t* words, const Body& body) {
    for (int n = static_cast<int>(threadIdx.x); n < count; n += kThreads) {
      const std::uint32_t bits = __ballot_sync(0xffffffffu, body(n));
      if (n % kWarp == 0) words[n / kWarp] = bits;
    }
    __syncthreads();
  }

  // body(warp) for each warp of the block.
  template <class Body>
  __device__ void for_each_warp(const Body& body) {
    DeviceWarp warp;
    body(warp);
    __syncthreads();
  }

  // body(warp, lane, step) for all lanes of all warps: each warp takes the steps one after the other, for itself.
  template <class Body>
  __device__ void for_warps(int steps, const Body& body) {
    const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
    for (int step = 0; step < steps; ++step) {
      body(warp, lane, step);
      __syncwarp();
    }
    __syncthreads();
  }
};

// A kernel may say how many of its blocks a multiprocessor shall hold, Kernel::kBlocks, which bounds its registers.
template <class Kernel>
constexpr int blocks_held() {
  if constexpr (requires { Kernel::kBlocks; }) {
    return Kernel::kBlocks;
  } else {
    return 0;
  }
}

template <class Kernel>
__global__ void __launch_bounds__(kThreads, blocks_held<Kernel>())
    kernel_entry(const __grid_constant__ typename Kernel::Args args) {
  __shared__ typename Kernel::Shared shared;
  DeviceBlock block;
  Kernel::run(block, shared, args);
}

#endif

}  // namespace diffmpm::cuda
