// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Usage: diffmpm_cuda_benchmark [CELLS] [STEPS]: a cube of CELLS^3 cells with 8 particles each, 50 (a million) by default.
#include "cuda_step.cuh"

#include <cuda_runtime.h>

#include <cstdlib>
#include <exception>

#include "core/queue.cuh"

namespace diffmpm::benchmark {
namespace {

// Time of what is put on the default stream in between.
class EventClock {
 public:
  EventClock() {
    for (cudaEvent_t& event : events_) DIFFMPM_CUDA_CHECK(cudaEventCreate(&event));
  }
  void start() { DIFFMPM_CUDA_CHECK(cudaEventRecord(events_[0], nullptr)); }
  double stop() {
    DIFFMPM_CUDA_CHECK(cudaEventRecord(events_[1], nullptr));
    DIFFMPM_CUDA_CHECK(cudaEventSynchronize(events_[1]));
    float milliseconds = 0;
    DIFFMPM_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, events_[0], events_[1]));
    return 1e-3 * milliseconds;
  }

 private:
  cudaEvent_t events_[2]{};  // to the end of the program
};

void run(int cells, int steps) {
  std::printf("%s\n", cuda::status());
  const cuda::Queue queue(nullptr);
  for (const Basis basis : {Basis::quadratic, Basis::cubic}) {
    const Report report = measure(queue, EventClock(), basis, cells, steps, std::int64_t{1} << 30);
    std::printf("copy %.0f GB/s, read and written\n", report.copy_bandwidth / 1e9);
    print(report);
  }
}

}  // namespace
}  // namespace diffmpm::benchmark

int main(int argc, char** argv) {
  const int cells = argc > 1 ? std::atoi(argv[1]) : 50, steps = argc > 2 ? std::atoi(argv[2]) : 64;
  if (cells < 1 || steps < 1) {
    std::fprintf(stderr, "usage: %s [CELLS] [STEPS], both at least 1\n", argv[0]);
    return 2;
  }
  try {
    diffmpm::benchmark::run(cells, steps);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
