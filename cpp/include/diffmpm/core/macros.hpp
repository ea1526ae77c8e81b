// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

// Host and device qualifiers, and the namespace that keeps one instruction set's inline functions apart from
// another's: a header used by the per-ISA sources wraps its content in DIFFMPM_BEGIN_ISA / DIFFMPM_END_ISA, so the
// linker can never replace baseline code by a copy compiled for AVX-512.

#if defined(__CUDACC__)
#define DIFFMPM_HD __host__ __device__ __forceinline__
#elif defined(__GNUC__)
#define DIFFMPM_HD inline __attribute__((always_inline))
#else
#define DIFFMPM_HD __forceinline
#endif

// The same for templates that are too long to be part of every caller.
#if defined(__CUDACC__)
#define DIFFMPM_HD_CALL __host__ __device__
#else
#define DIFFMPM_HD_CALL
#endif

#if defined(__GNUC__)
#define DIFFMPM_NOINLINE __attribute__((noinline))
#else
#define DIFFMPM_NOINLINE __declspec(noinline)
#endif

#if !defined(DIFFMPM_ISA)
#define DIFFMPM_ISA generic
#endif

#define DIFFMPM_CONCAT_(a, b) a##b
#define DIFFMPM_CONCAT(a, b) DIFFMPM_CONCAT_(a, b)

#define DIFFMPM_BEGIN_ISA \
  namespace diffmpm {     \
  inline namespace DIFFMPM_CONCAT(isa_, DIFFMPM_ISA) {
#define DIFFMPM_END_ISA \
  }                     \
  }

#if defined(__CUDACC__)
#define DIFFMPM_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define DIFFMPM_UNROLL _Pragma("GCC unroll 16")
#else
#define DIFFMPM_UNROLL
#endif
