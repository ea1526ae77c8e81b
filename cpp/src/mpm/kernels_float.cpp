// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "kernel_table.hpp"

namespace diffmpm {
#define DIFFMPM_STRING_(a) #a
#define DIFFMPM_STRING(a) DIFFMPM_STRING_(a)
extern const Kernels<float> DIFFMPM_ISA_NAME(kernels_float);
const Kernels<float> DIFFMPM_ISA_NAME(kernels_float) = make_kernels<float>(DIFFMPM_STRING(DIFFMPM_ISA));
}  // namespace diffmpm
