// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "surface/evaluate.cuh"

#include "core/queue.cuh"

namespace diffmpm::surface {
namespace {

using cuda::Queue;

void find_children(const Context& context, std::int64_t particles, std::int64_t slots, const std::int32_t* parent,
                   std::int32_t* start, std::int32_t* child) {
  Queue queue(context);
  cuda::find_children_on(queue, particles, slots, parent, start, child);
}

template <class T>
void evaluate(const Context& context, const BindingView<T>& binding, const T* x, const T* F, T sigma0,
              const GaussianArrays<T>& out) {
  Queue queue(context);
  cuda::evaluate_on(queue, binding, x, F, sigma0, out);
}

template <class T>
void evaluate_vjp(const Context& context, const BindingView<T>& binding, const T* x, const T* F, T sigma0,
                  const GaussianArrays<const T>& adj, T* adj_x, T* adj_F, double* adj_sigma0) {
  Queue queue(context);
  cuda::evaluate_vjp_on(queue, binding, x, F, sigma0, adj, adj_x, adj_F, adj_sigma0);
}

}  // namespace

template <class T>
const SurfaceFunctions<T>& SurfaceFunctions<T>::cuda() {
  static constexpr SurfaceFunctions kTable{surface::find_children, surface::evaluate<T>, surface::evaluate_vjp<T>};
  return kTable;
}

template const SurfaceFunctions<float>& SurfaceFunctions<float>::cuda();
template const SurfaceFunctions<double>& SurfaceFunctions<double>::cuda();

}  // namespace diffmpm::surface
