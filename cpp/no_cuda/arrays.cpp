// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Stub of arrays on a device, for builds without the CUDA backend.
#include "diffmpm/core/device.hpp"
#include "diffmpm/core/device_arrays.hpp"

namespace diffmpm::cuda {
int current_device() { refuse(); }
void set_current_device(int) { refuse(); }
void set_memory_source(const MemorySource&) { refuse(); }
SourceStream& source_stream() { refuse(); }
MemoryUse memory_use(bool) { refuse(); }
void release_idle_memory() { refuse(); }
std::int64_t host_waits() { return 0; }
std::shared_ptr<void> allocate(std::size_t, void*) { refuse(); }
void upload(void*, const void*, std::size_t, void*) { refuse(); }
void download(void*, const void*, std::size_t, void*) { refuse(); }
void copy(void*, const void*, std::size_t, void*) { refuse(); }
void clear(void*, std::size_t, void*) { refuse(); }
void wait_for(void*, void*) { refuse(); }

template <class T>
void combine(Combination, std::int64_t, const Operand<T>&, const Operand<T>&, T*, void*) {
  refuse();
}
template <class T>
void square_root(std::int64_t, const T*, T*, void*) {
  refuse();
}
template <class T>
void take_rows(std::int64_t, std::int64_t, const std::int32_t*, const T*, T*, void*) {
  refuse();
}
template <class T>
void add_rows(std::int64_t, std::int64_t, const std::int32_t*, const T*, T*, void*) {
  refuse();
}
template <class T>
double dot(std::int64_t, const T*, const T*, void*) {
  refuse();
}
template <class T>
double peak(std::int64_t, const T*, void*) {
  refuse();
}
template <class T>
std::int64_t count_not_finite(std::int64_t, const T*, void*) {
  refuse();
}
template <class T>
std::int64_t count_not_above(std::int64_t, const T*, T, void*) {
  refuse();
}
template <class T>
std::int64_t count_inverted(std::int64_t, const T*, void*) {
  refuse();
}
template <class T>
std::array<std::int64_t, 4> count_bad_constants(std::int64_t, const T*, const T*, const T*, const T*, void*) {
  refuse();
}

#define DIFFMPM_STUBS(T)                                                                                            \
  template void combine<T>(Combination, std::int64_t, const Operand<T>&, const Operand<T>&, T*, void*);             \
  template void square_root<T>(std::int64_t, const T*, T*, void*);                                                  \
  template void take_rows<T>(std::int64_t, std::int64_t, const std::int32_t*, const T*, T*, void*);                 \
  template void add_rows<T>(std::int64_t, std::int64_t, const std::int32_t*, const T*, T*, void*);                  \
  template double dot<T>(std::int64_t, const T*, const T*, void*);                                                  \
  template double peak<T>(std::int64_t, const T*, void*);                                                           \
  template std::int64_t count_not_finite<T>(std::int64_t, const T*, void*);                                         \
  template std::int64_t count_not_above<T>(std::int64_t, const T*, T, void*);                                       \
  template std::int64_t count_inverted<T>(std::int64_t, const T*, void*);                                           \
  template std::array<std::int64_t, 4> count_bad_constants<T>(std::int64_t, const T*, const T*, const T*, const T*, \
                                                              void*);
DIFFMPM_STUBS(float)
DIFFMPM_STUBS(double)
#undef DIFFMPM_STUBS

}  // namespace diffmpm::cuda
