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

// The parallel loops of the core. Each thread uses the floating-point mode of the package, the calling thread polls, and an
// exception on any thread ends the loop and reaches the caller.

namespace diffmpm {

// State shared by the threads of a loop.
class ParallelRegion {
 public:
  // Reserves the next `size` items; returns the first.
  std::int64_t take(std::int64_t size);
  bool failed() const;
  // On the calling thread, after its last item: polls until the other threads have finished.
  void wait();
  // In a handler: stores the first exception and stops the other threads.
  void fail() noexcept;
  // After the loop: rethrows the stored exception.
  void finish() const;

 private:
  std::atomic<std::int64_t> next_{0};
  std::atomic<int> active_{0};  // threads inside
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
  friend class ParallelThread;
};

// Scope of a thread in a loop.
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

// The items of one thread. Not inlined, so that no arithmetic of the loop moves before the change of mode.
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

// Calls body(state, n) for n < count; each thread gets its `state` from make(). Threads reserve `chunk` items at a time: some
// microseconds of work, far below the half second in which Ctrl-C must act.
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
