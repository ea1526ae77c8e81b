// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

namespace diffmpm {

// Instruction sets that kernels are compiled for, lowest first.
enum class IsaLevel { base, avx2, avx512 };

// The best one that this machine has, this build contains and DIFFMPM_ISA allows; the same during a process.
IsaLevel isa_level();

}  // namespace diffmpm
