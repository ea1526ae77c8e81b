// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

#include "diffmpm/core/call.hpp"
#include "diffmpm/core/macros.hpp"
#include "diffmpm/core/threads.hpp"

// The parallel loops of the core. Each thread computes in the package's floating-point mode, the calling thread polls, and an
// exception of any thread ends the loop and reaches the caller.

namespace diffmpm {

// What the threads of one loop share.
class ParallelRegion {
 public:
  // The first of the next `size` items, which no other thread gets.
  std::int64_t take(std::int64_t size);
  bool failed() const;
  // On the calling thread, which has no more items: polls until the other threads have none either.
  void wait();
  // Called in a handler: keeps the first exception and makes the other threads stop.
  void fail() noexcept;
  // After the loop: throws what a thread has thrown.
  void finish() const;

 private:
  std::atomic<std::int64_t> next_{0};
  std::atomic<int> active_{0};  // threads inside
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
  friend class ParallelThread;
};

// A thread inside of a loop.
class ParallelThread {
 public:
  explicit ParallelThread(ParallelRegion& region);
  ~ParallelThread();
  ParallelThread(const ParallelThread&) = delete;
  ParallelThread& operator=(const ParallelThread&) = delete;

 private:
  FloatMode mode_;
  ParallelRegion *region_, *before_;
};

}  // namespace diffmpm

DIFFMPM_BEGIN_ISA

// One thread's part. A function of its own, so that no arithmetic of the loop moves in front of the change of mode.
template <class Make, class Body>
DIFFMPM_NOINLINE void run_chunks(ParallelRegion& region, std::int64_t count, std::int64_t chunk, const Make& make,
                                 const Body& body) {
  auto&& state = make();
  for (;;) {
    const std::int64_t first = region.take(chunk), last = std::min(count, first + chunk);
    if (first >= count) return;
    poll();
    for (std::int64_t n = first; n < last; ++n) body(state, n);
  }
}

// Calls body(state, n) for n < count, where `state` is what make() returns, once on each thread. Threads take `chunk` items at a
// time: choose it so that a chunk is some microseconds of work, and far below the half second in which Ctrl-C is to act.
template <class Make, class Body>
void parallel_for_with(std::int64_t count, std::int64_t chunk, [[maybe_unused]] int threads, const Make& make,
                       const Body& body) {
  ParallelRegion region;
#pragma omp parallel num_threads(threads) if (count > chunk)
  {
    const ParallelThread thread(region);
    try {
      run_chunks(region, count, chunk, make, body);
      region.wait();
    } catch (...) {
      region.fail();
    }
  }
  region.finish();
}

// Calls body(n) for n < count.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t chunk, int threads, const Body& body) {
  parallel_for_with(count, chunk, threads, [] { return 0; }, [&](int, std::int64_t n) { body(n); });
}
template <class Body>
void parallel_for(std::int64_t count, std::int64_t chunk, const Body& body) {
  parallel_for(count, chunk, thread_count(), body);
}

DIFFMPM_END_ISA
