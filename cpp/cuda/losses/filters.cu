// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "losses/filters.cuh"

#include "core/queue.cuh"
#include "diffmpm/losses/losses.hpp"

namespace diffmpm::cuda {

template <class T>
void blur(std::int64_t count, int height, int width, double sigma, const T* in, T* out, void* stream) {
  Queue queue(stream);
  blur_on(queue, count, height, width, sigma, in, out);
}

template <class T>
void pool(std::int64_t count, int height, int width, int size, const T* in, T* out, void* stream) {
  Queue queue(stream);
  pool_on(queue, count, {height, width, size}, in, out);
}

template <class T>
void pool_vjp(std::int64_t count, int height, int width, int size, const T* adj, T* adj_in, void* stream) {
  Queue queue(stream);
  pool_vjp_on(queue, count, {height, width, size}, adj, adj_in);
}

template void blur<float>(std::int64_t, int, int, double, const float*, float*, void*);
template void blur<double>(std::int64_t, int, int, double, const double*, double*, void*);
template void pool<float>(std::int64_t, int, int, int, const float*, float*, void*);
template void pool<double>(std::int64_t, int, int, int, const double*, double*, void*);
template void pool_vjp<float>(std::int64_t, int, int, int, const float*, float*, void*);
template void pool_vjp<double>(std::int64_t, int, int, int, const double*, double*, void*);

}  // namespace diffmpm::cuda
