// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// The requirements of the backend: C++20, CUB, and the runtime as a static library.
#include <cuda_runtime.h>

#include <concepts>
#include <cub/version.cuh>

template <std::integral T>
__global__ void probe(T* out) {
  *out = static_cast<T>(CUB_VERSION);
}

int main() {
  probe<int><<<1, 1>>>(nullptr);
  return cudaGetLastError() == cudaSuccess ? 0 : 1;
}
