// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

// Kernels that go to a device together, each after the one before. The graph is made node by node, not captured: so it may go
// to the legacy default stream, which cannot be captured, and other threads may allocate memory meanwhile.

namespace diffmpm::cuda {

// Whether DIFFMPM_CUDA_GRAPHS is not 0.
bool graphs_enabled();

class KernelChain {
 public:
  KernelChain();
  KernelChain(const KernelChain&) = delete;
  KernelChain& operator=(const KernelChain&) = delete;
  ~KernelChain();

  // `args` is copied: the kernel's only argument.
  void add(const void* kernel, unsigned blocks, void* args);
  void launch(cudaStream_t stream);

 private:
  cudaGraph_t graph_ = nullptr;
  cudaGraphNode_t last_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace diffmpm::cuda
