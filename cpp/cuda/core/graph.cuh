// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <vector>

// Kernels that go to a device together, each after the one before. The graph is made node by node, not captured: so it may go
// to the legacy default stream, which cannot be captured, and other threads may allocate memory meanwhile.

namespace diffmpm::cuda {

// Whether DIFFMPM_CUDA_GRAPHS is not 0.
bool graphs_enabled();

class KernelChain {
 public:
  // `args`, of `size` bytes, is copied: the kernel's only argument.
  void add(const void* kernel, unsigned blocks, const void* args, std::size_t size);
  void launch(cudaStream_t stream) const;

 private:
  friend class ExecutableChain;
  struct Launch {
    const void* kernel;
    unsigned blocks;
    std::size_t args;  // where in `arguments_`
  };
  std::vector<Launch> launches_;
  std::vector<std::byte> arguments_;
};

}  // namespace diffmpm::cuda
