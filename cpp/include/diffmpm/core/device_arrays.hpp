// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

// Memory of the current CUDA device, and what optimisers and losses do with arrays in it. The work is put on `stream`, a
// cudaStream_t (null: the default stream); what returns a number or fills memory of the host waits. Everything throws DeviceError,
// also in builds without CUDA.

namespace diffmpm::cuda {

int current_device();

// Uninitialised; given back in the order of the stream, which has to live as long.
std::shared_ptr<void> allocate(std::size_t bytes, void* stream);

void upload(void* to, const void* from, std::size_t bytes, void* stream);    // from the host
void download(void* to, const void* from, std::size_t bytes, void* stream);  // to the host
void copy(void* to, const void* from, std::size_t bytes, void* stream);
void clear(void* to, std::size_t bytes, void* stream);

// What is put on `stream` from now on waits for what is on `other`.
void wait_for(void* stream, void* other);

enum class Combination : int { add, subtract, multiply, divide };

// One side of a combination: an array, or a number where that is null.
template <class T>
struct Operand {
  const T* values = nullptr;
  T number = 0;
};

// out[n] = a[n] op b[n]; `out` may be one of the operands.
template <class T>
void combine(Combination op, std::int64_t count, const Operand<T>& a, const Operand<T>& b, T* out, void* stream);

template <class T>
void square_root(std::int64_t count, const T* a, T* out, void* stream);

// out[n] = a[rows[n]] and a[rows[n]] += values[n], of rows of `width` values; no row may be listed twice.
template <class T>
void take_rows(std::int64_t count, std::int64_t width, const std::int32_t* rows, const T* a, T* out, void* stream);
template <class T>
void add_rows(std::int64_t count, std::int64_t width, const std::int32_t* rows, const T* values, T* a, void* stream);

// Sums in double precision, in an order that depends on the count alone.
template <class T>
double dot(std::int64_t count, const T* a, const T* b, void* stream);
// Largest |a[n]|, 0 without any, NaN where one is.
template <class T>
double peak(std::int64_t count, const T* a, void* stream);
// Values that are not finite.
template <class T>
std::int64_t count_not_finite(std::int64_t count, const T* a, void* stream);
// Values that are not above `bound`, NaN among them.
template <class T>
std::int64_t count_not_above(std::int64_t count, const T* a, T bound, void* stream);
// Matrices (count, 3, 3) whose determinant is not above 0.
template <class T>
std::int64_t count_inverted(std::int64_t count, const T* F, void* stream);

}  // namespace diffmpm::cuda
