// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <vector>

#include "cuda/emulation.hpp"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

constexpr int kCount = 100;

struct Output {
  double* values;
};

// Reverses the numbers 0, 1, ... through shared memory.
template <bool kBarrier>
struct Reverse {
  using Args = Output;
  struct Shared {
    double at[kCount];
  };
  template <class Block>
  static void run(Block& block, Shared& s, const Args& a) {
    if (kBarrier) {
      block.for_each(kCount, [&](int n) { s.at[n] = n; });
      block.for_each(kCount, [&](int n) { a.values[n] = s.at[kCount - 1 - n]; });
    } else {
      block.for_each(kCount, [&](int n) { s.at[n] = n, a.values[n] = s.at[kCount - 1 - n]; });
    }
  }
};

// All items add to one value.
struct Collide {
  using Args = Output;
  struct Shared {
    double sum;
  };
  template <class Block>
  static void run(Block& block, Shared& s, const Args& a) {
    block.for_each(1, [&](int) { s.sum = 0; });
    block.for_each(kCount, [&](int n) { s.sum += 1.0 / (1 + n); });
    block.for_each(1, [&](int) { a.values[0] = s.sum; });
  }
};

struct Fold {
  using Args = Output;
  struct Shared {
    double scratch[cuda::kThreads];
  };
  template <class Block>
  static void run(Block& block, Shared& s, const Args& a) {
    cuda::fold(block, s.scratch, 1000, [](int n) { return 1.0 / (1 + n); });
    block.for_each(1, [&](int) { a.values[block.index()] = s.scratch[0]; });
  }
};

// Each warp sums its numbers, lane by lane.
struct Warps {
  using Args = Output;
  struct Shared {
    double at[cuda::kWarps][cuda::kWarp];
  };
  template <class Block>
  static void run(Block& block, Shared& s, const Args& a) {
    block.for_each_warp([&](auto& warp) {
      const int w = warp.index();
      warp.for_each(cuda::kWarp, [&](int lane) { s.at[w][lane] = lane; });
      // Every lane reads the earlier write of its neighbour: the phases of a warp run in order.
      const int factor = warp.for_lanes([&](int lane) {
        s.at[w][(lane + 1) % cuda::kWarp] += 100 * w;
        return 2;
      });
      warp.for_each(cuda::kWarp, [&](int lane) { a.values[w * cuda::kWarp + lane] = factor * s.at[w][lane]; });
    });
  }
};

// Each thread stores its number, each warp sums those of its lanes; ballots and `any` include all threads.
struct Keep {
  using Args = Output;
  struct Shared {
    double numbers[cuda::kThreads], sums[cuda::kWarps];
    std::uint32_t odd[cuda::kWarps];
  };
  template <class Block>
  static void run(Block& block, Shared& s, const Args& a) {
    auto kept = block.template thread_value<double>();
    block.for_each(cuda::kThreads, [&](int t) { kept[t] = t; });
    block.ballot(cuda::kThreads, s.odd, [&](int n) { return n % 2 == 1; });
    block.for_each_warp([&](auto& warp) {
      const int first = warp.index() * cuda::kWarp;
      warp.for_each(cuda::kWarp, [&](int lane) { s.numbers[first + lane] = kept[first + lane]; });
      warp.for_each(1, [&](int) {
        s.sums[warp.index()] = 0;
        for (int lane = 0; lane < cuda::kWarp; ++lane) s.sums[warp.index()] += s.numbers[first + lane];
      });
    });
    const bool high = block.any(cuda::kThreads, [&](int t) { return kept[t] == cuda::kThreads - 1; });
    const bool higher = block.any(cuda::kThreads, [&](int t) { return kept[t] == cuda::kThreads; });
    block.for_each(cuda::kThreads, [&](int t) {
      a.values[t] = s.sums[t / cuda::kWarp] + (high && !higher && s.odd[t / cuda::kWarp] == 0xaaaaaaaau ? 0.5 : 0.0);
    });
  }
};

// A thread reads the value of another one.
struct Steal {
  using Args = Output;
  struct Shared {};
  template <class Block>
  static void run(Block& block, Shared&, const Args& a) {
    auto kept = block.template thread_value<double>();
    block.for_each(cuda::kThreads, [&](int t) { kept[t] = t; });
    block.for_each(cuda::kThreads, [&](int t) { a.values[t] = kept[(t + 1) % cuda::kThreads]; });
  }
};

// Two warps write one value in the same phase.
struct CollideWarps {
  using Args = Output;
  struct Shared {
    double at;
  };
  template <class Block>
  static void run(Block& block, Shared& s, const Args&) {
    block.for_each_warp([&](auto& warp) { warp.for_each(1, [&](int) { s.at = warp.index(); }); });
  }
};

template <class Kernel>
std::vector<double> result(std::uint64_t seed) {
  std::vector<double> out(cuda::kThreads, -1.0);
  emulate<Kernel>(1, {out.data()}, seed);
  return out;
}

// Number of different results over some seeds; NaN counts as one value.
template <class Kernel>
std::size_t distinct_results() {
  std::set<std::vector<double>> seen;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    std::vector<double> out = result<Kernel>(seed);
    for (double& value : out)
      if (std::isnan(value)) value = -2;
    seen.insert(out);
  }
  return seen.size();
}

}  // namespace

TEST_CASE("a phase reads the writes of earlier phases") {
  const std::vector<double> out = result<Reverse<true>>(1);
  for (int n = 0; n < kCount; ++n) CHECK(out[static_cast<std::size_t>(n)] == kCount - 1 - n);
  CHECK(distinct_results<Reverse<true>>() == 1);
}

TEST_CASE("with a missing barrier or a shared sum, results depend on the seed") {
  CHECK(distinct_results<Reverse<false>>() > 1);
  CHECK(distinct_results<Collide>() > 1);
}

TEST_CASE("isolated items detect missing barriers, and write conflicts that do not depend on the order") {
  std::vector<double> out(cuda::kThreads, -1.0);
  CHECK_THROWS_AS(emulate<Collide>(1, {out.data()}, 1, true), std::logic_error);
  emulate<Reverse<false>>(1, {out.data()}, 1, true);
  int unset = 0;  // no item reads what another item of the phase wrote
  for (int n = 0; n < kCount; ++n) unset += std::isnan(out[static_cast<std::size_t>(n)]);
  CHECK(unset == kCount);
  emulate<Reverse<true>>(1, {out.data()}, 1, true);
  CHECK(out == result<Reverse<true>>(1));
  emulate<Fold>(1, {out.data()}, 1, true);
  CHECK(out[0] == result<Fold>(1)[0]);
  std::vector<double> warps(cuda::kThreads);
  emulate<Warps>(1, {warps.data()}, 1, true);
  CHECK(warps == result<Warps>(1));
}

TEST_CASE("thread values, warp phases and ballots work across phases") {
  const std::vector<double> out = result<Keep>(1);
  for (int n = 0; n < cuda::kThreads; ++n) {
    const int first = n / cuda::kWarp * cuda::kWarp;
    CHECK(out[static_cast<std::size_t>(n)] == cuda::kWarp * first + cuda::kWarp * (cuda::kWarp - 1) / 2 + 0.5);
  }
  CHECK(distinct_results<Keep>() == 1);
  std::vector<double> isolated(cuda::kThreads);
  emulate<Keep>(1, {isolated.data()}, 1, true);
  CHECK(isolated == out);
  CHECK_THROWS_AS(result<Steal>(1), std::logic_error);
  CHECK_THROWS_AS(emulate<CollideWarps>(1, {isolated.data()}, 1, true), std::logic_error);
}

TEST_CASE("a fold has a fixed summation order") {
  double sum = 0;
  for (int n = 1000; n > 0; --n) sum += 1.0 / n;
  CHECK(result<Fold>(1)[0] == doctest::Approx(sum).epsilon(1e-15));
  CHECK(distinct_results<Fold>() == 1);
}

TEST_CASE("the phases of a warp run in order") {
  const std::vector<double> out = result<Warps>(1);
  for (int n = 0; n < cuda::kThreads; ++n)
    CHECK(out[static_cast<std::size_t>(n)] == 2 * (n % cuda::kWarp + 100 * (n / cuda::kWarp)));
  CHECK(distinct_results<Warps>() == 1);
}
