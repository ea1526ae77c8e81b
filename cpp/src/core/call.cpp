// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/core/call.hpp"

#include <chrono>
#include <ctime>
#include <thread>

#include "diffmpm/core/parallel.hpp"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#elif !defined(__aarch64__) || !defined(__GNUC__)
#include <cfenv>
#endif

namespace diffmpm {
namespace {

using Time = std::chrono::nanoseconds;
constexpr std::chrono::milliseconds kInterval{50};  // between checks, which acquire the GIL

// A coarse clock where available, at a fifth of the cost: every chunk of a loop reads it.
Time now() {
#if defined(CLOCK_MONOTONIC_COARSE)
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
  return std::chrono::seconds(time.tv_sec) + Time(time.tv_nsec);
#else
  return std::chrono::steady_clock::now().time_since_epoch();
#endif
}

// Ends a thread of a loop that has failed on another thread.
struct Stopped {};

struct ThreadState {
  Call::Check check = nullptr;
  Time checked{};
  ParallelRegion* region = nullptr;
};

thread_local ThreadState state;

#if defined(__x86_64__) || defined(_M_X64)
// MXCSR after a reset: all exceptions masked, to nearest, neither flush-to-zero nor denormals-are-zero.
constexpr std::uint64_t kMode = 0x1f80, kControl = 0xffc0;  // the other bits are exceptions that have occurred
std::uint64_t read_mode() { return _mm_getcsr(); }
void write_mode(std::uint64_t mode) { _mm_setcsr(static_cast<unsigned>(mode)); }
#elif defined(__aarch64__) && defined(__GNUC__)
constexpr std::uint64_t kMode = 0, kControl = ~std::uint64_t{0};  // FPCR after a reset
std::uint64_t read_mode() {
  std::uint64_t mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
void write_mode(std::uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#else
// Standard C++ has the rounding mode only.
constexpr std::uint64_t kMode = FE_TONEAREST, kControl = ~std::uint64_t{0};
std::uint64_t read_mode() { return static_cast<std::uint64_t>(std::fegetround()); }
void write_mode(std::uint64_t mode) { std::fesetround(static_cast<int>(mode)); }
#endif

}  // namespace

FloatMode::FloatMode() : before_(read_mode()) {
  if ((before_ & kControl) != kMode) write_mode(kMode);
}

FloatMode::~FloatMode() {
  if ((before_ & kControl) != kMode) write_mode(before_);
}

Call::Call(Check check) : before_(state.check) {
  state.check = check;
  state.checked = now();
}

Call::~Call() { state.check = before_; }

void poll() {
  if (state.region && state.region->failed()) throw Stopped();
  if (!state.check) return;
  const Time time = now();
  if (time - state.checked < kInterval) return;
  state.checked = time;
  state.check();
}

std::int64_t ParallelRegion::take(std::int64_t size) { return next_.fetch_add(size, std::memory_order_relaxed); }

bool ParallelRegion::failed() const { return failed_.load(std::memory_order_relaxed); }

void ParallelRegion::wait() {
  if (!state.check) return;
  constexpr int kSpins = 5000;  // about 100 us: threads usually end together
  for (int n = 0; active_.load(std::memory_order_acquire) > 1; n < kSpins ? ++n : n) {
    poll();
    if (n == kSpins) std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

void ParallelRegion::fail() noexcept {
  if (!failed_.exchange(true)) error_ = std::current_exception();
}

void ParallelRegion::finish() const {
  if (error_) std::rethrow_exception(error_);
}

ParallelThread::ParallelThread(ParallelRegion& region) : region_(&region), before_(state.region) {
  state.region = region_;
  ++region_->active_;
}

ParallelThread::~ParallelThread() {
  state.region = before_;
  --region_->active_;
}

}  // namespace diffmpm
