// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

// A call into the core: how numbers are rounded in it, and how its caller can end it.

namespace diffmpm {

// While it lives, the calling thread rounds to nearest and keeps denormal numbers, whatever mode another library has set;
// the caller's mode returns with its end.
class FloatMode {
 public:
  FloatMode();
  ~FloatMode();
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
  std::uint64_t before_;
};

// Around every call that a program makes into the core: sets the mode, and lets `check` end a long call by an exception. It
// is called on the thread that made the call and on no other, at most every 50 ms.
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

// For loops that can take long: calls the check of the current call where it is due. On the threads of a parallel loop that
// has failed it throws, so that they end.
void poll();

// poll() once in a while, for loops whose rounds cost about as much as it does.
class SparsePoll {
 public:
  // After `work` further rounds.
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
