// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cmath>
#include <thread>
#include <vector>

#include "diffmpm/core/threads.hpp"

#if defined(__unix__)
#include <sys/wait.h>
#include <unistd.h>
#endif

TEST_CASE("the number of threads is the requested one, and zero resets it") {
  const int by_default = diffmpm::thread_count();
  CHECK(by_default >= 1);
  diffmpm::set_thread_count(3);
  CHECK(diffmpm::thread_count() == 3);
  diffmpm::set_thread_count(0);
  CHECK(diffmpm::thread_count() == by_default);
}

TEST_CASE("a limit applies to the thread that sets it") {
  diffmpm::set_thread_count(4);
  diffmpm::limit_thread_count(2);
  CHECK(diffmpm::thread_count() == 2);
  int other = 0;
  std::thread([&] { other = diffmpm::thread_count(); }).join();
  CHECK(other == 4);
  diffmpm::limit_thread_count(0);
  CHECK(diffmpm::thread_count() == 4);
  diffmpm::set_thread_count(0);
}

#if defined(__unix__) && !defined(__SANITIZE_ADDRESS__)
namespace {

double parallel_sum() {
  std::vector<double> values(10000);
#pragma omp parallel for num_threads(diffmpm::thread_count())
  for (int n = 0; n < 10000; ++n) values[static_cast<std::size_t>(n)] = std::sqrt(static_cast<double>(n));
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

}  // namespace

TEST_CASE("a forked child works on one thread instead of hanging") {
  diffmpm::set_thread_count(4);
  const double expected = parallel_sum();
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(diffmpm::thread_count() == 1 && parallel_sum() == expected ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(diffmpm::thread_count() == 4);
  CHECK(parallel_sum() == expected);
  diffmpm::set_thread_count(0);
}
#endif
