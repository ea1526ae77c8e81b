// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "core/graph.cuh"

#include <cstdlib>
#include <map>
#include <mutex>
#include <string_view>
#include <tuple>

#include "core/block.cuh"
#include "core/error.cuh"

namespace diffmpm::cuda {
namespace {

// Executable graphs are kept, to the end of the process: to update one takes a fraction of the time of making it. One serves
// all chains of a length on a stream; on several streams it would make one wait for the other.
constexpr std::size_t kMostKept = 64;
std::mutex busy;
std::map<std::tuple<int, cudaStream_t, std::size_t>, cudaGraphExec_t> kept;

// The executable graph of (device, stream, length), now with the kernels and arguments of `graph`. Needs `busy`.
cudaGraphExec_t executable(cudaGraph_t graph, cudaStream_t stream, std::size_t length) {
  int device = 0;
  DIFFMPM_CUDA_CHECK(cudaGetDevice(&device));
  const auto found = kept.find({device, stream, length});
  if (found != kept.end()) {
    cudaGraphExecUpdateResultInfo info{};
    if (cudaGraphExecUpdate(found->second, graph, &info) == cudaSuccess) return found->second;
    static_cast<void>(cudaGetLastError());  // not an error: a new one is made
    DIFFMPM_CUDA_CHECK(cudaGraphExecDestroy(found->second));
    kept.erase(found);
  }
  if (kept.size() == kMostKept) {
    for (const auto& [key, old] : kept) static_cast<void>(cudaGraphExecDestroy(old));
    kept.clear();
  }
  cudaGraphExec_t made = nullptr;
  DIFFMPM_CUDA_CHECK(cudaGraphInstantiate(&made, graph, 0));
  return kept[{device, stream, length}] = made;
}

}  // namespace

bool graphs_enabled() {
  const char* value = std::getenv("DIFFMPM_CUDA_GRAPHS");
  return !value || std::string_view(value) != "0";
}

KernelChain::KernelChain() { DIFFMPM_CUDA_CHECK(cudaGraphCreate(&graph_, 0)); }

KernelChain::~KernelChain() { static_cast<void>(cudaGraphDestroy(graph_)); }

void KernelChain::add(const void* kernel, unsigned blocks, void* args) {
  cudaKernelNodeParams node{};
  node.func = const_cast<void*>(kernel);
  node.gridDim = dim3(blocks), node.blockDim = dim3(kThreads);
  node.kernelParams = &args;
  const cudaGraphNode_t before = last_;
  DIFFMPM_CUDA_CHECK(cudaGraphAddKernelNode(&last_, graph_, before ? &before : nullptr, before ? 1 : 0, &node));
  ++count_;
}

void KernelChain::launch(cudaStream_t stream) {
  if (count_ == 0) return;
  const std::lock_guard lock(busy);
  DIFFMPM_CUDA_CHECK(cudaGraphLaunch(executable(graph_, stream, count_), stream));
}

}  // namespace diffmpm::cuda
