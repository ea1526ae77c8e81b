// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

// Calls into the core: floating-point mode and cancellation.

namespace diffmpm {

// Scope in which the calling thread rounds to nearest and keeps denormal numbers, whatever mode another library has set. Restores
// the mode of the caller.
class FloatMode {
 public:
  FloatMode();
  ~FloatMode();
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
  std::uint64_t before_;
};

// Scope of a call into the core: sets the mode, and `check` may end a long call by an exception. `check` runs on the calling thread
// only, at most every 50 ms.
class Call {
 public:
  using Check = void (*)();
  explicit Call(Check check = nullptr);
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

 private:
  FloatMode mode_;
  Check before_;
};

// In long loops: calls the check of the current call when it is due. Throws on the threads of a parallel loop that has failed on
// another one.
void poll();

// poll() once per 65536 rounds, for loops whose rounds cost about as much as a poll.
class SparsePoll {
 public:
  void operator()(std::uint32_t work = 1) {
    if ((done_ += work) < kRounds) return;
    done_ = 0;
    poll();
  }

 private:
  static constexpr std::uint32_t kRounds = 1 << 16;
  std::uint32_t done_ = 0;
};

}  // namespace diffmpm
