// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <cstdlib>
#include <cstring>

#include "../mpm/kernels.hpp"
#include "isa.hpp"

// Choice of the instruction set, once a process. DIFFMPM_ISA=base|avx2|avx512 in the environment lowers it.

namespace diffmpm {

extern const Kernels<float> kernels_float_base;
extern const Kernels<double> kernels_double_base;
#if defined(DIFFMPM_HAVE_AVX2)
extern const Kernels<float> kernels_float_avx2;
extern const Kernels<double> kernels_double_avx2;
#endif
#if defined(DIFFMPM_HAVE_AVX512)
extern const Kernels<float> kernels_float_avx512;
extern const Kernels<double> kernels_double_avx512;
#endif

namespace {

IsaLevel allowed_level() {
  const char* name = std::getenv("DIFFMPM_ISA");
  if (name && std::strcmp(name, "base") == 0) return IsaLevel::base;
  if (name && std::strcmp(name, "avx2") == 0) return IsaLevel::avx2;
  return IsaLevel::avx512;
}

IsaLevel detect_level() {
  [[maybe_unused]] const IsaLevel allowed = allowed_level();
#if defined(DIFFMPM_HAVE_AVX512)
  if (allowed >= IsaLevel::avx512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return IsaLevel::avx512;
#endif
#if defined(DIFFMPM_HAVE_AVX2)
  if (allowed >= IsaLevel::avx2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return IsaLevel::avx2;
#endif
  return IsaLevel::base;
}

}  // namespace

IsaLevel isa_level() {
  static const IsaLevel chosen = detect_level();
  return chosen;
}

template <>
const Kernels<float>& kernels<float>() {
  switch (isa_level()) {
#if defined(DIFFMPM_HAVE_AVX512)
    case IsaLevel::avx512: return kernels_float_avx512;
#endif
#if defined(DIFFMPM_HAVE_AVX2)
    case IsaLevel::avx2: return kernels_float_avx2;
#endif
    default: return kernels_float_base;
  }
}

template <>
const Kernels<double>& kernels<double>() {
  switch (isa_level()) {
#if defined(DIFFMPM_HAVE_AVX512)
    case IsaLevel::avx512: return kernels_double_avx512;
#endif
#if defined(DIFFMPM_HAVE_AVX2)
    case IsaLevel::avx2: return kernels_double_avx2;
#endif
    default: return kernels_double_base;
  }
}

const char* instruction_set() { return kernels<float>().name; }

}  // namespace diffmpm
