// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

namespace diffmpm {

// Instruction sets of the kernels, lowest first.
enum class IsaLevel { base, avx2, avx512 };

// The highest one of this machine and this build that DIFFMPM_ISA allows; constant during a process.
IsaLevel isa_level();

// Table of the kernels compiled for one instruction set. Sources compiled once per instruction set specialise it for
// IsaLevel::DIFFMPM_ISA.
template <IsaLevel kLevel, class Table>
const Table& isa_table();

// Table of the instruction set in use.
template <class Table>
const Table& isa_table() {
  switch (isa_level()) {
#if defined(DIFFMPM_HAVE_AVX512)
    case IsaLevel::avx512: return isa_table<IsaLevel::avx512, Table>();
#endif
#if defined(DIFFMPM_HAVE_AVX2)
    case IsaLevel::avx2: return isa_table<IsaLevel::avx2, Table>();
#endif
    default: return isa_table<IsaLevel::base, Table>();
  }
}

}  // namespace diffmpm
