// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

namespace diffmpm {

// Instruction set of the kernels: "base", "avx2" or "avx512".
const char* instruction_set();

}  // namespace diffmpm
