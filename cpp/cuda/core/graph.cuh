// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

// Kernels that run in sequence as one graph. The graph is built node by node, not captured: the legacy default stream cannot be
// captured, and other threads may allocate memory during the build.

namespace diffmpm::cuda {

// Whether DIFFMPM_CUDA_GRAPHS is not 0.
bool graphs_enabled();

// A kernel and its launch configuration.
struct KernelShape {
  const void* kernel;
  unsigned blocks, threads, shared;  // dynamic shared memory [bytes]
};

// Opts a kernel in to large shared memory; `granted` has a bit per device.
void grant_shared(const KernelShape& shape, std::atomic<std::uint64_t>& granted);

class KernelChain {
 public:
  // Copies `args`, the only argument of the kernel, of `size` bytes.
  void add(const KernelShape& shape, const void* args, std::size_t size);
  void launch(cudaStream_t stream) const;

 private:
  friend class ExecutableChain;
  struct Launch {
    KernelShape shape;
    std::size_t args;  // offset in `arguments_`
  };
  std::vector<Launch> launches_;
  std::vector<std::byte> arguments_;
};

}  // namespace diffmpm::cuda
