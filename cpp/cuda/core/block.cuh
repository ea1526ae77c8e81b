// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "diffmpm/core/macros.hpp"

// A kernel is a struct with its arguments, the shared memory of a block, and its body:
//
//   struct Kernel {
//     using Args = ...;
//     struct Shared { ... };
//     static constexpr int kBlockThreads = 64;  // optional, kThreads otherwise
//     static constexpr int kBlocks = 4;         // optional: least resident blocks per multiprocessor
//     template <class Block>
//     static DIFFMPM_HD void run(Block& block, Shared& s, const Args& a);
//   };
//
// The body is a sequence of phases, each a call of a method of the block that ends with a barrier. Shared memory, and global memory
// that the kernel writes, is accessed inside phases only, and within a phase no two items access a value that one of them writes.
// So results do not depend on the order of threads. Floating-point numbers are never added atomically: sums have the same bits in
// every run. On a device a block is a DeviceBlock; the tests run the same body on the CPU with the items of each phase shuffled.

namespace diffmpm::cuda {

inline constexpr int kThreads = 128;  // of a block
inline constexpr int kWarp = 32;
inline constexpr int kWarps = kThreads / kWarp;

// Threads per block.
template <class Kernel>
inline constexpr int kThreadsOf = kThreads;
template <class Kernel>
  requires requires { Kernel::kBlockThreads; }
inline constexpr int kThreadsOf<Kernel> = Kernel::kBlockThreads;

// Least resident blocks per multiprocessor; 0: chosen by the compiler.
template <class Kernel>
inline constexpr int kBlocksOf = 0;
template <class Kernel>
  requires requires { Kernel::kBlocks; }
inline constexpr int kBlocksOf<Kernel> = Kernel::kBlocks;

// Shared memory per block [bytes]: without opt-in, and at most.
inline constexpr std::size_t kStaticShared = 48 * 1024, kMostShared = 64 * 1024;

// Sums scratch with += into scratch[0], in a fixed order.
template <int N, class V, class Block>
DIFFMPM_HD void fold(Block& block, V (&scratch)[N]) {
  for (int half = N / 2; half > 0; half /= 2) block.for_each(half, [&](int t) { scratch[t] += scratch[t + half]; });
}
// The same for body(n), n < count.
template <int N, class V, class Block, class Body>
DIFFMPM_HD void fold(Block& block, V (&scratch)[N], int count, const Body& body) {
  block.for_each(N, [&](int t) {
    V sum{};
    for (int n = t; n < count; n += N) sum += body(n);
    scratch[t] = sum;
  });
  fold(block, scratch);
}

// The kernel that calls item(n) for n < item.count.
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

// One warp of a block. Warps do not wait for each other inside a phase.
struct DeviceWarp {
  __device__ int index() const { return static_cast<int>(threadIdx.x) / kWarp; }

  // body(n) for n < count, concurrently.
  template <class Body>
  __device__ void for_each(int count, const Body& body) {
    for (int n = static_cast<int>(threadIdx.x) % kWarp; n < count; n += kWarp) body(n);
    __syncwarp();
  }

  // body(lane) for all lanes; all return the same number.
  template <class Body>
  __device__ int for_lanes(const Body& body) {
    const int result = body(static_cast<int>(threadIdx.x) % kWarp);
    __syncwarp();
    return result;
  }
};

// A value per thread that lives across phases, in registers. Item n of a phase belongs to thread n % kBlockThreads.
template <class V>
class DeviceThreadValue {
 public:
  __device__ V& operator[](int) { return value_; }

 private:
  V value_;
};

template <int kBlockThreads>
class DeviceBlock {
 public:
  template <class V>
  using ThreadValue = DeviceThreadValue<V>;
  template <class V>
  __device__ ThreadValue<V> thread_value() {
    return {};
  }

  __device__ int index() const { return static_cast<int>(blockIdx.x); }

  // body(n) for n < count, concurrently.
  template <class Body>
  __device__ void for_each(int count, const Body& body) {
    for (int n = static_cast<int>(threadIdx.x); n < count; n += kBlockThreads) body(n);
    __syncthreads();
  }

  // Whether body(n) is true for any n < count. Calls all of them.
  template <class Body>
  __device__ bool any(int count, const Body& body) {
    bool result = false;
    for (int n = static_cast<int>(threadIdx.x); n < count; n += kBlockThreads) result |= body(n);
    return __syncthreads_or(result) != 0;
  }

  // Bit n % 32 of words[n / 32] = body(n), for n < count, which is a multiple of 32.
  template <class Body>
  __device__ void ballot(int count, std::uint32_t* words, const Body& body) {
    for (int n = static_cast<int>(threadIdx.x); n < count; n += kBlockThreads) {
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

  // body(n) for n < kCount, unrolled, so that loads of several items overlap.
  template <int kCount, class Body>
  __device__ void for_all(const Body& body) {
#pragma unroll
    for (int first = 0; first < kCount; first += kBlockThreads)
      if (const int n = first + static_cast<int>(threadIdx.x); n < kCount) body(n);
    __syncthreads();
  }

  // Bitwise or of the lowest eight bits of body(n) for n < count.
  template <class Body>
  __device__ int any_bits(int count, const Body& body) {
    int bits = 0;
    for (int n = static_cast<int>(threadIdx.x); n < count; n += kBlockThreads) bits |= body(n);
    int all = 0;
    if (__syncthreads_or(bits)) {
#pragma unroll
      for (int bit = 1; bit < 256; bit *= 2) all |= __syncthreads_or(bits & bit) ? bit : 0;
    }
    return all;
  }

  // Sets bits of a word that several blocks may set.
  __device__ void raise(int* word, int bits) {
    if (threadIdx.x == 0 && bits != 0) atomicOr(word, bits);
  }
};

template <class Kernel>
__global__ void __launch_bounds__(kThreadsOf<Kernel>, kBlocksOf<Kernel>)
    kernel_entry(const __grid_constant__ typename Kernel::Args args) {
  using Shared = typename Kernel::Shared;
  DeviceBlock<kThreadsOf<Kernel>> block;
  if constexpr (sizeof(Shared) > kStaticShared) {
    extern __shared__ __align__(16) unsigned char memory[];
    Kernel::run(block, *reinterpret_cast<Shared*>(memory), args);
  } else {
    __shared__ Shared shared;
    Kernel::run(block, shared, args);
  }
}

#endif

}  // namespace diffmpm::cuda
