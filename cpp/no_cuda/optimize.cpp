// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Stub of optimisers on a device, for builds without the CUDA backend.
#include "diffmpm/core/device.hpp"
#include "diffmpm/optimize/adam.hpp"

namespace diffmpm::cuda {
template <class T>
optimize::Scale unit_scale(std::int64_t, const T*, void*) {
  refuse();
}
template <class T>
void descend(const optimize::DescendItem<T>&, void*) {
  refuse();
}
template <class T>
void adam(const optimize::AdamItem<T>&, void*) {
  refuse();
}

#define DIFFMPM_STUBS(T)                                                 \
  template optimize::Scale unit_scale<T>(std::int64_t, const T*, void*); \
  template void descend<T>(const optimize::DescendItem<T>&, void*);      \
  template void adam<T>(const optimize::AdamItem<T>&, void*);
DIFFMPM_STUBS(float)
DIFFMPM_STUBS(double)
#undef DIFFMPM_STUBS

}  // namespace diffmpm::cuda
