// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/block.cuh"
#include "diffmpm/core/random.hpp"

// Runs the kernels of the CUDA backend on the CPU, block by block and phase by phase. The items of a phase, the lanes of a warp,
// the warps and the blocks come in an order that depends on a seed: a kernel that needs a barrier which it does not have, or
// lets two threads write one value, gives other results for other seeds. Shared memory starts as NaN.

namespace diffmpm::testing {

class EmulatedBlock {
 public:
  EmulatedBlock(int index, std::uint64_t seed) : index_(index), seed_(seed) {}

  int index() const { return index_; }

  template <class Body>
  void for_each(int count, const Body& body) {
    for (const int n : shuffled(count)) body(n);
  }

  template <class Body>
  void for_warps(int steps, const Body& body) {
    for (const int warp : shuffled(cuda::kWarps))
      for (int step = 0; step < steps; ++step)
        for (const int lane : shuffled(cuda::kWarp)) body(warp, lane, step);
  }

  std::vector<int> shuffled(int count) {
    std::vector<int> order(static_cast<std::size_t>(count));
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t n = order.size(); n > 1; --n) std::swap(order[n - 1], order[random_bits(seed_, draws_++, 0) % n]);
    return order;
  }

 private:
  int index_;
  std::uint64_t seed_, draws_ = 0;
};

template <class Kernel>
void emulate(int blocks, const typename Kernel::Args& args, std::uint64_t seed) {
  using Shared = typename Kernel::Shared;
  static_assert(std::is_trivially_copyable_v<Shared> && sizeof(Shared) <= 48 * 1024, "shared memory of a block");
  const auto shared = std::make_unique<Shared>();
  for (const int index : EmulatedBlock(0, seed).shuffled(blocks)) {
    std::memset(static_cast<void*>(shared.get()), 0xff, sizeof(Shared));
    EmulatedBlock block(index, mix64(seed + static_cast<std::uint64_t>(index)));
    Kernel::run(block, *shared, args);
  }
}

}  // namespace diffmpm::testing
