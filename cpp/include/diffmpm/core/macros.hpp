// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

// Function qualifiers, and the namespaces of the instruction sets: a header used by sources that are compiled once per instruction
// set wraps its content in DIFFMPM_BEGIN_ISA / DIFFMPM_END_ISA, so the linker cannot replace baseline code by code for AVX-512.

// Always inlined, host only.
#if defined(__GNUC__)
#define DIFFMPM_INLINE inline __attribute__((always_inline))
#else
#define DIFFMPM_INLINE __forceinline
#endif

// Always inlined, on the host and on a device.
#if defined(__CUDACC__)
#define DIFFMPM_HD __host__ __device__ __forceinline__
#else
#define DIFFMPM_HD DIFFMPM_INLINE
#endif

// On the host and on a device, for templates too long to be inlined into every caller.
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
