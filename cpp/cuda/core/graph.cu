// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "core/graph.cuh"

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "core/error.cuh"

namespace diffmpm::cuda {

// The executable graph of a chain.
class ExecutableChain {
 public:
  explicit ExecutableChain(const KernelChain& chain) {
    cudaGraph_t graph = nullptr;
    DIFFMPM_CUDA_CHECK(cudaGraphCreate(&graph, 0));
    graph_.reset(graph);
    for (std::size_t n = 0; n < chain.launches_.size(); ++n) {
      const cudaGraphNode_t* before = n > 0 ? &nodes_[n - 1] : nullptr;
      const Node node(chain, n);
      cudaGraphNode_t added = nullptr;
      DIFFMPM_CUDA_CHECK(cudaGraphAddKernelNode(&added, graph, before, n > 0 ? 1 : 0, &node.params));
      nodes_.push_back(added);
    }
    cudaGraphExec_t executable = nullptr;
    DIFFMPM_CUDA_CHECK(cudaGraphInstantiate(&executable, graph, 0));
    executable_.reset(executable);
  }

  // Replaces kernels and arguments by those of a chain of the same length, for later launches only.
  void update(const KernelChain& chain) {
    for (std::size_t n = 0; n < nodes_.size(); ++n) {
      const Node node(chain, n);
      DIFFMPM_CUDA_CHECK(cudaGraphExecKernelNodeSetParams(executable_.get(), nodes_[n], &node.params));
    }
  }
  void launch(cudaStream_t stream) const { DIFFMPM_CUDA_CHECK(cudaGraphLaunch(executable_.get(), stream)); }

 private:
  struct Node {
    void* args;
    cudaKernelNodeParams params{};
    Node(const KernelChain& chain, std::size_t n)
        : args(const_cast<std::byte*>(chain.arguments_.data() + chain.launches_[n].args)) {
      const KernelShape& shape = chain.launches_[n].shape;
      params.func = const_cast<void*>(shape.kernel), params.sharedMemBytes = shape.shared;
      params.gridDim = dim3(shape.blocks), params.blockDim = dim3(shape.threads);
      params.kernelParams = &args;
    }
  };

  // Launched graphs still complete.
  struct Destroy {
    void operator()(cudaGraph_t graph) const { static_cast<void>(cudaGraphDestroy(graph)); }
    void operator()(cudaGraphExec_t executable) const { static_cast<void>(cudaGraphExecDestroy(executable)); }
  };

  std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, Destroy> graph_;  // owns the nodes
  std::vector<cudaGraphNode_t> nodes_;
  std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, Destroy> executable_;
};

bool graphs_enabled() {
  const char* value = std::getenv("DIFFMPM_CUDA_GRAPHS");
  return !value || std::string_view(value) != "0";
}

void grant_shared(const KernelShape& shape, std::atomic<std::uint64_t>& granted) {
  int device = 0;
  DIFFMPM_CUDA_CHECK(cudaGetDevice(&device));
  const std::uint64_t bit = std::uint64_t{1} << (device % 64);
  if (device < 64 && (granted.load() & bit)) return;
  DIFFMPM_CUDA_CHECK(
      cudaFuncSetAttribute(shape.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared)));
  granted |= bit;
}

void KernelChain::add(const KernelShape& shape, const void* args, std::size_t size) {
  launches_.push_back({shape, arguments_.size()});
  const auto* bytes = static_cast<const std::byte*>(args);
  arguments_.insert(arguments_.end(), bytes, bytes + size);
}

// Graphs are cached, because an update takes a fraction of the time of an instantiation. There is one per stream and length; shared
// between streams it would make one wait for the other.
void KernelChain::launch(cudaStream_t stream) const {
  if (launches_.empty()) return;
  constexpr std::size_t kMostCached = 64;
  static std::mutex busy;
  // Never destroyed: at process exit the device may be gone.
  static auto& cache = *new std::map<std::tuple<int, cudaStream_t, std::size_t>, ExecutableChain>;
  int device = 0;
  DIFFMPM_CUDA_CHECK(cudaGetDevice(&device));
  const std::lock_guard lock(busy);
  auto entry = cache.find({device, stream, launches_.size()});
  if (entry != cache.end()) {
    entry->second.update(*this);
  } else {
    if (cache.size() == kMostCached) cache.clear();
    entry = cache.try_emplace({device, stream, launches_.size()}, *this).first;
  }
  entry->second.launch(stream);
}

}  // namespace diffmpm::cuda
