// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <atomic>
#include <cfenv>
#include <chrono>
#include <limits>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

#include "diffmpm/core/parallel.hpp"

namespace {

using Clock = std::chrono::steady_clock;

struct Interrupted {};

std::atomic<int> checks{0};
std::thread::id checking;

void interrupt() {
  ++checks;
  checking = std::this_thread::get_id();
  throw Interrupted();
}

}  // namespace

TEST_CASE("a loop visits every item once, on any number of threads and in chunks of any size") {
  for (const int threads : {1, 2, 5})
    for (const std::int64_t chunk : {1, 3, 100, 1000})
      for (const std::int64_t count : {0, 1, 7, 100, 1001}) {
        std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
        diffmpm::parallel_for(count, chunk, threads, [&](std::int64_t n) { ++visits[static_cast<std::size_t>(n)]; });
        for (const auto& v : visits) CHECK(v == 1);
      }
}

TEST_CASE("an exception on any thread ends a loop and reaches the caller") {
  for (std::int64_t bad = 0; bad < 400; bad += 37) {
    CHECK_THROWS_AS(diffmpm::parallel_for(400, 1, 4,
                                          [&](std::int64_t n) {
                                            if (n == bad) throw std::bad_alloc();
                                          }),
                    std::bad_alloc);
    const auto fail = []() -> int { throw std::length_error("state"); };
    CHECK_THROWS_AS(diffmpm::parallel_for_with(400, 1, 4, fail, [](int, std::int64_t) {}), std::length_error);
  }
}

TEST_CASE("the check of a call runs on the calling thread and ends the loops of all threads") {
  const auto start = Clock::now();
  checks = 0;
  {
    const diffmpm::Call call(interrupt);
    const auto work = [](std::int64_t) {
      for (const auto end = Clock::now() + std::chrono::seconds(20); Clock::now() < end;) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        diffmpm::poll();
      }
    };
    CHECK_THROWS_AS(diffmpm::parallel_for(8, 1, 4, work), Interrupted);
  }
  CHECK(checks == 1);
  CHECK(checking == std::this_thread::get_id());
  CHECK(Clock::now() - start < std::chrono::seconds(5));
  diffmpm::poll();  // no call, no check
  CHECK(checks == 1);
}

TEST_CASE("threads round to nearest and keep denormals, and the mode of the caller is restored") {
  constexpr double kTiny = std::numeric_limits<double>::min();
  std::vector<double> sums(64), denormals(64);
  volatile double one = 1, least = 1e-17, tiny = kTiny, half = 0.5;
  double own = 0;
  std::fesetround(FE_UPWARD);
  {
    const diffmpm::Call call;
    own = one + least;
    diffmpm::parallel_for(64, 1, 4, [&](std::int64_t n) {
      sums[static_cast<std::size_t>(n)] = one + least, denormals[static_cast<std::size_t>(n)] = tiny * half;
    });
  }
  const double after = one + least;
  std::fesetround(FE_TONEAREST);
  CHECK(own == 1.0);
  CHECK(after > 1.0);
  for (std::size_t n = 0; n < sums.size(); ++n) {
    CHECK(sums[n] == 1.0);
    CHECK(denormals[n] == kTiny / 2);
    CHECK(denormals[n] > 0);
  }
}
