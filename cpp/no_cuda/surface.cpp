// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Stub of the surface on a device, for builds without the CUDA backend.
#include "diffmpm/surface/surface.hpp"

#include "diffmpm/core/device.hpp"

namespace diffmpm::cuda {
namespace {

using surface::BindingView;
using surface::GaussianArrays;

}  // namespace

void find_children(std::int64_t, std::int64_t, const std::int32_t*, std::int32_t*, std::int32_t*, void*) { refuse(); }
template <class T>
void evaluate(const BindingView<T>&, const T*, const T*, T, const GaussianArrays<T>&, void*) {
  refuse();
}
template <class T>
void evaluate_vjp(const BindingView<T>&, const T*, const T*, T, const GaussianArrays<const T>&, T*, T*, double*,
                  void*) {
  refuse();
}

#define DIFFMPM_STUBS(T)                                                                                              \
  template void evaluate<T>(const BindingView<T>&, const T*, const T*, T, const GaussianArrays<T>&, void*);           \
  template void evaluate_vjp<T>(const BindingView<T>&, const T*, const T*, T, const GaussianArrays<const T>&, T*, T*, \
                                double*, void*);
DIFFMPM_STUBS(float)
DIFFMPM_STUBS(double)
#undef DIFFMPM_STUBS

}  // namespace diffmpm::cuda
