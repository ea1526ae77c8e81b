// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/block.cuh"
#include "core/pairs.cuh"
#include "core/sums.cuh"
#include "diffmpm/core/memory.hpp"
#include "diffmpm/core/random.hpp"
#include "diffmpm/mpm/params.hpp"

// Runs the CUDA kernels on the CPU, block by block and phase by phase. The order of the items of a phase, lanes, warps and blocks
// depends on a seed: with a missing barrier, or two threads that write one value, results depend on the seed. Shared memory
// starts as NaN.
//
// With `isolated`, an item reads shared memory as it was at the start of the phase, and two items that change one byte are an
// error, even if the order does not matter.

namespace diffmpm::testing {

class EmulatedBlock {
 public:
  // A value per thread; reading the value of another thread is an error.
  template <class V>
  class ThreadValue {
   public:
    explicit ThreadValue(const EmulatedBlock& block)
        : block_(&block), values_(static_cast<std::size_t>(block.threads_)) {
      std::memset(static_cast<void*>(values_.data()), 0xff, values_.size() * sizeof(V));
    }
    V& operator[](int thread) {
      if (thread != block_->thread_) throw std::logic_error("a thread asks for the value of another");
      return values_[static_cast<std::size_t>(thread)];
    }

   private:
    const EmulatedBlock* block_;
    std::vector<V> values_;
  };
  template <class V>
  ThreadValue<V> thread_value() const {
    return ThreadValue<V>(*this);
  }

  class Warp {
   public:
    Warp(EmulatedBlock& block, int index) : block_(&block), index_(index) {}
    int index() const { return index_; }
    template <class Body>
    void for_each(int count, const Body& body) {
      block_->one_after_other(count, [&](int n) {
        block_->thread_ = index_ * cuda::kWarp + n % cuda::kWarp;
        body(n);
      });
    }
    template <class Body>
    int for_lanes(const Body& body) {
      int results[cuda::kWarp];
      for_each(cuda::kWarp, [&](int lane) { results[lane] = body(lane); });
      for (const int result : results)
        if (result != results[0]) throw std::logic_error("the lanes of a warp disagree");
      return results[0];
    }

   private:
    EmulatedBlock* block_;
    int index_;
  };

  EmulatedBlock(int index, std::uint64_t seed, int threads = cuda::kThreads)
      : index_(index), threads_(threads), seed_(seed) {}
  EmulatedBlock(int index, std::uint64_t seed, int threads, void* shared, std::size_t size)
      : index_(index), threads_(threads), seed_(seed), shared_(static_cast<unsigned char*>(shared)), size_(size) {}

  int index() const { return index_; }

  template <class Body>
  void for_each(int count, const Body& body) {
    one_after_other(count, [&](int n) {
      thread_ = n % threads_;
      body(n);
    });
  }

  template <class Body>
  bool any(int count, const Body& body) {
    bool any = false;
    for_each(count, [&](int n) { any |= body(n); });
    return any;
  }

  template <class Body>
  void ballot(int count, std::uint32_t* words, const Body& body) {
    if (count % cuda::kWarp != 0) throw std::logic_error("a ballot of lanes that do not exist");
    std::vector<std::uint32_t> bits(static_cast<std::size_t>(count / cuda::kWarp));
    for_each(count, [&](int n) {
      bits[static_cast<std::size_t>(n / cuda::kWarp)] |= static_cast<std::uint32_t>(body(n) ? 1 : 0) << n % cuda::kWarp;
    });
    std::copy(bits.begin(), bits.end(), words);
  }

  template <class Body>
  void for_each_warp(const Body& body) {
    one_after_other(threads_ / cuda::kWarp, [&](int index) {
      Warp warp(*this, index);
      body(warp);
    });
  }

  template <int kCount, class Body>
  void for_all(const Body& body) {
    for_each(kCount, body);
  }

  template <class Body>
  int any_bits(int count, const Body& body) {
    int all = 0;
    for_each(count, [&](int n) { all |= body(n); });
    return all;
  }

  void raise(int* word, int bits) { *word |= bits; }

  std::vector<int> shuffled(int count) {
    std::vector<int> order(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t n = order.size(); n > 1; --n) std::swap(order[n - 1], order[random_bits(seed_, draws_++, 0) % n]);
    return order;
  }

 private:
  template <class Body>
  void one_after_other(int count, const Body& body) {
    if (size_ == 0) {
      for (const int n : shuffled(count)) body(n);
      return;
    }
    const std::vector<unsigned char> before(shared_, shared_ + size_);
    std::vector<unsigned char> after = before;
    std::vector<bool> changed(size_);
    for (const int n : shuffled(count)) {
      body(n);
      if (std::memcmp(shared_, before.data(), size_) == 0) continue;
      for (std::size_t k = 0; k < size_; ++k) {
        if (shared_[k] == before[k]) continue;
        if (changed[k]) throw std::logic_error("two items of a phase change one value in shared memory");
        changed[k] = true, after[k] = shared_[k];
      }
      std::memcpy(shared_, before.data(), size_);
    }
    std::memcpy(shared_, after.data(), size_);
  }

  int index_, threads_;
  int thread_ = 0;  // the running thread
  std::uint64_t seed_, draws_ = 0;
  unsigned char* shared_ = nullptr;
  std::size_t size_ = 0;  // 0: items read the writes of earlier items
};

template <class Kernel>
void emulate(int blocks, const typename Kernel::Args& args, std::uint64_t seed, bool isolated = false) {
  using Shared = typename Kernel::Shared;
  static_assert(std::is_trivially_copyable_v<Shared> && sizeof(Shared) <= cuda::kMostShared,
                "shared memory of a block");
  constexpr int kThreads = cuda::kThreadsOf<Kernel>;
  const auto shared = std::make_unique<Shared>();
  for (const int index : EmulatedBlock(0, seed).shuffled(blocks)) {
    std::memset(static_cast<void*>(shared.get()), 0xff, sizeof(Shared));
    const std::uint64_t block_seed = mix64(seed + static_cast<std::uint64_t>(index));
    EmulatedBlock block = isolated ? EmulatedBlock(index, block_seed, kThreads, shared.get(), sizeof(Shared))
                                   : EmulatedBlock(index, block_seed, kThreads);
    Kernel::run(block, *shared, args);
  }
}

using cuda::put_sum;  // found by the drivers for this queue
using cuda::sum_terms;

// Replaces a CUDA stream with its memory pool and its sorts and reductions. Memory starts as NaN.
class EmulatedQueue {
 public:
  // `sorts`, if not null, counts the sorts.
  explicit EmulatedQueue(std::uint64_t seed = 1, int* sorts = nullptr, bool isolated = false)
      : seed_(seed), sorts_(sorts), isolated_(isolated) {}

  template <class V>
  Buffer<V> allocate(std::int64_t count) {
    Buffer<V> buffer(static_cast<std::size_t>(count));
    std::memset(static_cast<void*>(buffer.data()), 0xff, buffer.size() * sizeof(V));
    return buffer;
  }
  template <class Kernel>
  void launch(std::int64_t blocks, const typename Kernel::Args& args) {
    emulate<Kernel>(static_cast<int>(blocks), args, seed_++, isolated_);
  }
  template <class Item>
  void for_all(const Item& item) {
    launch<cuda::ForAll<Item>>((item.count + cuda::kThreads - 1) / cuda::kThreads, item);
  }
  template <class Body>
  void batch(const Body& body) {
    body();
  }
  template <class V>
  void to_host(V* to, const V* from, std::int64_t count) {
    std::copy(from, from + count, to);
  }
  template <class V>
  void from_host(V* to, const V* from, std::int64_t count) {
    std::copy(from, from + count, to);
  }
  template <class V>
  void copy(V* to, const V* from, std::int64_t count) {
    std::copy(from, from + count, to);
  }
  template <class V>
  void clear(V* values, std::int64_t count) {
    std::fill(values, values + count, V{});
  }
  template <class V>
  void inclusive_sum(V* values, std::int64_t count) {
    std::partial_sum(values, values + count, values);
  }
  void sort_pairs(std::uint64_t* keys, Index* values, std::int64_t count, int bits) {
    if (sorts_) ++*sorts_;
    std::vector<std::pair<std::uint64_t, Index>> items;
    for (std::int64_t n = 0; n < count; ++n) {
      if (bits < 64 && keys[n] >> bits != 0) throw std::logic_error("a key has more bits than are sorted");
      items.emplace_back(keys[n], values[n]);
    }
    std::stable_sort(items.begin(), items.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (std::int64_t n = 0; n < count; ++n) std::tie(keys[n], values[n]) = items[static_cast<std::size_t>(n)];
  }
  // As on a device, the result may be in either buffer.
  template <class Key>
  cuda::Pairs<Key> sort(cuda::Pairs<Key> pairs, cuda::Pairs<Key> spare, std::int64_t count, int bits) {
    if (sorts_) ++*sorts_;
    std::vector<std::pair<Key, Index>> items;
    for (std::int64_t n = 0; n < count; ++n) {
      if (bits < 8 * static_cast<int>(sizeof(Key)) && pairs.keys[n] >> bits != 0)
        throw std::logic_error("a key has more bits than are sorted");
      items.emplace_back(pairs.keys[n], pairs.values[n]);
    }
    std::stable_sort(items.begin(), items.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    if (random_bits(seed_++, 0, 0) % 2 == 0) std::swap(pairs, spare);
    std::memset(static_cast<void*>(spare.keys), 0xff, static_cast<std::size_t>(count) * sizeof(Key));
    std::memset(static_cast<void*>(spare.values), 0xff, static_cast<std::size_t>(count) * sizeof(Index));
    for (std::int64_t n = 0; n < count; ++n)
      std::tie(pairs.keys[n], pairs.values[n]) = items[static_cast<std::size_t>(n)];
    return pairs;
  }
  // Memory limit: small, so that budgets matter.
  std::size_t free_memory() const { return std::size_t{1} << 30; }

 private:
  std::uint64_t seed_;
  int* sorts_;
  bool isolated_;
};

}  // namespace diffmpm::testing
