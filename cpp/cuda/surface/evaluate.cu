// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "surface/evaluate.cuh"

#include "core/queue.cuh"

namespace diffmpm::cuda {

using surface::BindingView;
using surface::GaussianArrays;

void find_children(std::int64_t particles, std::int64_t slots, const std::int32_t* parent, std::int32_t* start,
                   std::int32_t* child, void* stream) {
  Queue queue(stream);
  find_children_on(queue, particles, slots, parent, start, child);
}

template <class T>
void evaluate(const BindingView<T>& binding, const T* x, const T* F, T sigma0, const GaussianArrays<T>& out,
              void* stream) {
  Queue queue(stream);
  evaluate_on(queue, binding, x, F, sigma0, out);
}

template <class T>
void evaluate_vjp(const BindingView<T>& binding, const T* x, const T* F, T sigma0, const GaussianArrays<const T>& adj,
                  T* adj_x, T* adj_F, double* adj_sigma0, void* stream) {
  Queue queue(stream);
  evaluate_vjp_on(queue, binding, x, F, sigma0, adj, adj_x, adj_F, adj_sigma0);
}

template void evaluate<float>(const BindingView<float>&, const float*, const float*, float,
                              const GaussianArrays<float>&, void*);
template void evaluate<double>(const BindingView<double>&, const double*, const double*, double,
                               const GaussianArrays<double>&, void*);
template void evaluate_vjp<float>(const BindingView<float>&, const float*, const float*, float,
                                  const GaussianArrays<const float>&, float*, float*, double*, void*);
template void evaluate_vjp<double>(const BindingView<double>&, const double*, const double*, double,
                                   const GaussianArrays<const double>&, double*, double*, double*, void*);

}  // namespace diffmpm::cuda
