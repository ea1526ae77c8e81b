// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

// Kernels that go to a device together, each after the one before. The graph is made node by node, not captured: so it may go
// to the legacy default stream, which cannot be captured, and other threads may allocate memory meanwhile.

namespace diffmpm::cuda {

// Whether DIFFMPM_CUDA_GRAPHS is not 0.
bool graphs_enabled();

// A kernel and what it is launched with, but for its argument.
struct KernelShape {
  const void* kernel;
  unsigned blocks, threads, shared;  // dynamic shared memory [bytes]
};

// Let a kernel have more shared memory than a device grants without being asked; `granted` has a bit for each device.
void grant_shared(const KernelShape& shape, std::atomic<std::uint64_t>& granted);

class KernelChain {
 public:
  // `args`, of `size` bytes, is copied: the kernel's only argument.
  void add(const KernelShape& shape, const void* args, std::size_t size);
  void launch(cudaStream_t stream) const;

 private:
  friend class ExecutableChain;
  struct Launch {
    KernelShape shape;
    std::size_t args;  // where in `arguments_`
  };
  std::vector<Launch> launches_;
  std::vector<std::byte> arguments_;
};

}  // namespace diffmpm::cuda
