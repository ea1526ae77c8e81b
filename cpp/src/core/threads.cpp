// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/core/threads.hpp"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif

#if defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>
#include <pthread.h>
#define DIFFMPM_HAS_PTHREADS 1
#endif

namespace diffmpm {
namespace {

// More threads than this, or than four per processor, are a mistake in the environment: the first loop would start them all.
constexpr int kManyThreads = 64;
// Kernels have tiles of the grid on the stack: 100 KB with their adjoint.
constexpr std::size_t kLeastStack = std::size_t{256} << 10;
constexpr std::chrono::seconds kRetry{1};  // after threads could not be started

std::atomic<int> requested{0};
std::atomic<bool> forked{false};
thread_local int limit = 0;

int default_count() {
#if defined(_OPENMP)
  return std::min(omp_get_max_threads(), std::max(kManyThreads, 4 * omp_get_num_procs()));
#else
  return 1;
#endif
}

#if defined(DIFFMPM_HAS_PTHREADS)
#if defined(_OPENMP) && defined(__GNUC__) && !defined(__clang__)
// The threads of libgomp do not survive a fork, and the first parallel loop of the child, ours or that of PyTorch, would wait for
// them forever. So they end before a fork and start again after it. omp_pause_resource_all is new in OpenMP 5.
void end_idle_threads() {
  using Pause = int (*)(int);
  static const auto pause = reinterpret_cast<Pause>(dlsym(RTLD_DEFAULT, "omp_pause_resource_all"));
  if (pause && omp_get_level() == 0) pause(1);  // omp_pause_soft
}
#else
void end_idle_threads() {}
#endif

// A child uses one thread: it is usually one of several, and older runtimes would still wait for the threads of the parent.
[[maybe_unused]] const int fork_guard = pthread_atfork(end_idle_threads, nullptr, [] { forked = true; });

// Parses a size in the format of OpenMP, in KiB without a unit. Returns bytes, or 0 for invalid text.
std::size_t stack_size(const char* text) {
  char* end = nullptr;
  const unsigned long long number = std::strtoull(text, &end, 10);
  if (end == text) return 0;
  while (*end == ' ') ++end;
  switch (std::tolower(static_cast<unsigned char>(*end))) {
    case 'b': return static_cast<std::size_t>(number);
    case 'm': return static_cast<std::size_t>(number) << 20;
    case 'g': return static_cast<std::size_t>(number) << 30;
    default: return static_cast<std::size_t>(number) << 10;
  }
}

// Stack of the threads of OpenMP; 0: the default of the system.
std::size_t requested_stack() {
  for (const char* name : {"OMP_STACKSIZE", "GOMP_STACKSIZE", "KMP_STACKSIZE"})
    if (const char* text = std::getenv(name))
      if (const std::size_t bytes = stack_size(text)) return bytes;
  return 0;
}

// Starts threads that live at the same time, ends them, and returns their number.
int start_and_end(int count) {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return 0;
  static const std::size_t requested_size = requested_stack();
  if (requested_size > 0) pthread_attr_setstacksize(&attributes, requested_size);
  pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&gate);
  std::vector<pthread_t> threads(static_cast<std::size_t>(count));
  const auto pass = [](void* at) -> void* {
    pthread_mutex_lock(static_cast<pthread_mutex_t*>(at));
    pthread_mutex_unlock(static_cast<pthread_mutex_t*>(at));
    return nullptr;
  };
  int started = 0;
  while (started < count && pthread_create(&threads[static_cast<std::size_t>(started)], &attributes, pass, &gate) == 0)
    ++started;
  pthread_mutex_unlock(&gate);
  for (int n = 0; n < started; ++n) pthread_join(threads[static_cast<std::size_t>(n)], nullptr);
  pthread_attr_destroy(&attributes);
  return started;
}

// Number of threads, at most `count`, that a loop of the calling thread can start. libgomp ends the process if it cannot start one,
// so starting them is tested before.
int startable(int count) {
  static const bool small_stack = requested_stack() > 0 && requested_stack() < kLeastStack;
  if (small_stack) return 1;
  struct Tested {
    int good = 1;
    std::chrono::steady_clock::time_point failed{};
  };
  thread_local Tested tested;
  if (count <= tested.good) return count;
  const auto now = std::chrono::steady_clock::now();
  if (now - tested.failed < kRetry) return tested.good;
  tested.good = 1 + start_and_end(count - 1);
  if (tested.good < count) tested.failed = now;
  return tested.good;
}
#else
int startable(int count) { return count; }
#endif

}  // namespace

int thread_count() {
  if (forked) return 1;
  const int count = requested;
  const int threads = std::max(1, count > 0 ? count : default_count());
  return startable(limit > 0 ? std::min(limit, threads) : threads);
}

void set_thread_count(int count) { requested = std::max(0, count); }

void limit_thread_count(int count) { limit = std::max(0, count); }

}  // namespace diffmpm
