// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "core/arrays.cuh"

#include "core/queue.cuh"
#include "core/source.hpp"
#include "core/waits.hpp"

namespace diffmpm::cuda {
namespace {

const unsigned char* bytes(const void* p) { return static_cast<const unsigned char*>(p); }
unsigned char* bytes(void* p) { return static_cast<unsigned char*>(p); }
std::int64_t length(std::size_t size) { return static_cast<std::int64_t>(size); }

}  // namespace

namespace {

MemorySource source;

}  // namespace

void set_memory_source(const MemorySource& given) { source = given; }

SourceStream& source_stream() {
  thread_local SourceStream stream;
  return stream;
}

bool uses_source(int device, void* stream) {
  const SourceStream& served = source_stream();
  return source.allocate && served.device == device && served.stream == stream;
}

std::shared_ptr<void> take_from_source(std::size_t bytes) {
  void* memory = nullptr;
  if (source.allocate(bytes, &memory) != 0) return {};
  return {memory, [give_back = source.free](void* p) { static_cast<void>(give_back(p)); }};
}

std::int64_t host_waits() { return host_wait_count.load(std::memory_order_relaxed); }

std::shared_ptr<void> allocate(std::size_t size, void* stream) {
  return Queue(stream).allocate<unsigned char>(length(size)).owner();
}
void upload(void* to, const void* from, std::size_t size, void* stream) {
  Queue(stream).from_host(bytes(to), bytes(from), length(size));
}
void download(void* to, const void* from, std::size_t size, void* stream) {
  Queue(stream).to_host(bytes(to), bytes(from), length(size));
}
void copy(void* to, const void* from, std::size_t size, void* stream) {
  Queue(stream).copy(bytes(to), bytes(from), length(size));
}
void clear(void* to, std::size_t size, void* stream) { Queue(stream).clear(bytes(to), length(size)); }
void wait_for(void* stream, void* other) {
  if (stream != other) Queue(stream).wait_for(other);
}

template <class T>
void combine(Combination op, std::int64_t count, const Operand<T>& a, const Operand<T>& b, T* out, void* stream) {
  Queue(stream).for_all(Combine<T>{count, op, a, b, out});
}
template <class T>
void square_root(std::int64_t count, const T* a, T* out, void* stream) {
  Queue(stream).for_all(SquareRoot<T>{count, a, out});
}
template <class T>
void take_rows(std::int64_t count, std::int64_t width, const std::int32_t* rows, const T* a, T* out, void* stream) {
  Queue(stream).for_all(TakeRows<T>{count * width, width, rows, a, out});
}
template <class T>
void add_rows(std::int64_t count, std::int64_t width, const std::int32_t* rows, const T* values, T* a, void* stream) {
  Queue(stream).for_all(AddRows<T>{count * width, width, rows, values, a});
}
template <class T>
double dot(std::int64_t count, const T* a, const T* b, void* stream) {
  Queue queue(stream);
  return sum_terms(queue, count, DotTerm<T>{a, b});
}
template <class T>
double peak(std::int64_t count, const T* a, void* stream) {
  Queue queue(stream);
  return sum_terms(queue, count, LargestTerm<T>{a}).value;
}
template <class T>
std::int64_t count_not_finite(std::int64_t count, const T* a, void* stream) {
  Queue queue(stream);
  return sum_terms(queue, count, NotFiniteTerm<T>{a});
}
template <class T>
std::int64_t count_not_above(std::int64_t count, const T* a, T bound, void* stream) {
  Queue queue(stream);
  return sum_terms(queue, count, NotAboveTerm<T>{a, bound});
}
template <class T>
std::int64_t count_inverted(std::int64_t count, const T* F, void* stream) {
  Queue queue(stream);
  return sum_terms(queue, count, InvertedTerm<T>{F});
}
template <class T>
std::array<std::int64_t, 4> count_bad_constants(std::int64_t count, const T* mass, const T* volume, const T* lam,
                                                const T* mu, void* stream) {
  Queue queue(stream);
  const BadConstants bad = sum_terms(queue, count, ConstantsTerm<T>{mass, volume, lam, mu});
  return {bad.mass, bad.volume, bad.lam, bad.mu};
}

#define DIFFMPM_ARRAYS(T)                                                                                           \
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
DIFFMPM_ARRAYS(float)
DIFFMPM_ARRAYS(double)
#undef DIFFMPM_ARRAYS

}  // namespace diffmpm::cuda
