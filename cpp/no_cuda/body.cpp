// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Stub of figures of bodies on a device, for builds without the CUDA backend.
#include "diffmpm/geometry/body.hpp"

#include <string>

#include "diffmpm/core/device.hpp"

namespace diffmpm::cuda {
namespace {

[[noreturn]] void refuse() { throw DeviceError(std::string("CUDA: ") + status()); }

}  // namespace

template <class T>
double mean_distance(std::int64_t, const T*, const T*, void*) {
  refuse();
}
template <class T>
double mean_square(std::int64_t, const T*, void*) {
  refuse();
}
template <class T>
geometry::Range determinant_range(std::int64_t, const T*, void*) {
  refuse();
}
template <class T>
void multiply(std::int64_t, const T*, const T*, T*, void*) {
  refuse();
}

#define DIFFMPM_STUBS(T)                                                        \
  template double mean_distance<T>(std::int64_t, const T*, const T*, void*);    \
  template double mean_square<T>(std::int64_t, const T*, void*);                \
  template geometry::Range determinant_range<T>(std::int64_t, const T*, void*); \
  template void multiply<T>(std::int64_t, const T*, const T*, T*, void*);
DIFFMPM_STUBS(float)
DIFFMPM_STUBS(double)
#undef DIFFMPM_STUBS

}  // namespace diffmpm::cuda
