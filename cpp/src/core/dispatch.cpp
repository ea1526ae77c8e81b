// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>

#if defined(_MSC_VER) && defined(_M_X64)
#include <intrin.h>
#endif

#include "diffmpm/core/dispatch.hpp"
#include "isa.hpp"

// Selects the instruction set once per process. DIFFMPM_ISA=base|avx2|avx512 in the environment lowers it.

namespace diffmpm {

namespace {

IsaLevel allowed_level() {
  const char* name = std::getenv("DIFFMPM_ISA");
  if (name && std::strcmp(name, "base") == 0) return IsaLevel::base;
  if (name && std::strcmp(name, "avx2") == 0) return IsaLevel::avx2;
  return IsaLevel::avx512;
}

#if defined(_MSC_VER) && defined(_M_X64)
// The run-time library of Microsoft has no __builtin_cpu_supports, not even for Clang: read CPUID, and XGETBV to see whether the
// system saves the wide registers.
#if defined(__clang__)
__attribute__((target("xsave")))
#endif
IsaLevel
processor_level() {
  constexpr int kFma = 1 << 12, kOsxsave = 1 << 27, kAvx = 1 << 28;                                     // leaf 1, ecx
  constexpr int kAvx2 = 1 << 5, k512F = 1 << 16, k512Dq = 1 << 17, k512Bw = 1 << 30, k512Vl = INT_MIN;  // leaf 7, ebx
  int registers[4];
  __cpuid(registers, 0);
  if (registers[0] < 7) return IsaLevel::base;
  __cpuid(registers, 1);
  if ((registers[2] & (kFma | kOsxsave | kAvx)) != (kFma | kOsxsave | kAvx)) return IsaLevel::base;
  const unsigned long long saved = _xgetbv(0);
  __cpuidex(registers, 7, 0);
  if (!(registers[1] & kAvx2) || (saved & 0x06) != 0x06) return IsaLevel::base;
  constexpr int k512 = k512F | k512Dq | k512Bw | k512Vl;
  return (registers[1] & k512) == k512 && (saved & 0xe6) == 0xe6 ? IsaLevel::avx512 : IsaLevel::avx2;
}
#elif defined(DIFFMPM_HAVE_AVX2)
IsaLevel processor_level() {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return IsaLevel::base;
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return wide ? IsaLevel::avx512 : IsaLevel::avx2;
}
#else
IsaLevel processor_level() { return IsaLevel::base; }
#endif

IsaLevel built_level() {
#if defined(DIFFMPM_HAVE_AVX512)
  return IsaLevel::avx512;
#elif defined(DIFFMPM_HAVE_AVX2)
  return IsaLevel::avx2;
#else
  return IsaLevel::base;
#endif
}

IsaLevel detect_level() { return std::min({allowed_level(), built_level(), processor_level()}); }

}  // namespace

IsaLevel isa_level() {
  static const IsaLevel chosen = detect_level();
  return chosen;
}

const char* instruction_set() {
  constexpr const char* kNames[] = {"base", "avx2", "avx512"};
  return kNames[static_cast<int>(isa_level())];
}

}  // namespace diffmpm
