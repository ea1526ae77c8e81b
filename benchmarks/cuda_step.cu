// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Usage: diffmpm_cuda_benchmark [CELLS [STEPS [PER_CELL [DRIFT]]]]. Simulates a cube of CELLS^3 cells, by default 50^3 with 8
// particles per cell (a million), for 64 steps, in which the body moves by DRIFT cells along each axis.
#include "cuda_step.cuh"

#include <cuda_runtime.h>

#include <cstdlib>
#include <exception>

#include "core/queue.cuh"

namespace diffmpm::benchmark {
namespace {

// Measures time on the default stream.
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
  cudaEvent_t events_[2]{};  // never destroyed
};

void run(const Body& body) {
  std::printf("%s\n", cuda::status());
  const cuda::Queue queue(nullptr);
  for (const Basis basis : {Basis::quadratic, Basis::cubic}) {
    const Report report = measure(queue, EventClock(), basis, body, std::int64_t{1} << 30);
    std::printf("copy %.0f GB/s, read and written\n", report.copy_bandwidth / 1e9);
    print(report);
  }
}

}  // namespace
}  // namespace diffmpm::benchmark

int main(int argc, char** argv) {
  diffmpm::benchmark::Body body;
  if (argc > 1) body.cells = std::atoi(argv[1]);
  if (argc > 2) body.steps = std::atoi(argv[2]);
  if (argc > 3) body.per_cell = std::atoi(argv[3]);
  if (argc > 4) body.drift = std::atof(argv[4]);
  if (argc > 5 || body.cells < 1 || body.steps < 1 || body.per_cell < 1) {
    std::fprintf(stderr, "usage: %s [CELLS [STEPS [PER_CELL [DRIFT]]]], the first three at least 1\n", argv[0]);
    return 2;
  }
  try {
    diffmpm::benchmark::run(body);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
