// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "kernel_table.hpp"

namespace diffmpm {
extern const RenderKernels<double> DIFFMPM_ISA_NAME(render_double);
const RenderKernels<double> DIFFMPM_ISA_NAME(render_double) = make_render_kernels<double>();
}  // namespace diffmpm
