// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/core/threads.hpp"

#include <algorithm>
#include <atomic>

#if defined(_OPENMP)
#include <omp.h>
#endif

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define DIFFMPM_HAS_FORK 1
#endif

namespace diffmpm {
namespace {

std::atomic<int> requested{0};
std::atomic<bool> forked{false};
thread_local int limit = 0;

#if defined(DIFFMPM_HAS_FORK)
// libgomp's threads do not survive a fork; a parallel region in the child would wait for them for ever.
[[maybe_unused]] const int fork_guard = pthread_atfork(nullptr, nullptr, [] { forked = true; });
#endif

int default_count() {
#if defined(_OPENMP)
  return omp_get_max_threads();
#else
  return 1;
#endif
}

}  // namespace

int thread_count() {
  if (forked) return 1;
  const int count = requested;
  const int wanted = std::max(1, count > 0 ? count : default_count());
  return limit > 0 ? std::min(limit, wanted) : wanted;
}

void set_thread_count(int count) { requested = std::max(0, count); }

void limit_thread_count(int count) { limit = std::max(0, count); }

}  // namespace diffmpm
