// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "kernel_table.hpp"

namespace diffmpm {
extern const RenderKernels<float> DIFFMPM_ISA_NAME(render_float);
const RenderKernels<float> DIFFMPM_ISA_NAME(render_float) = make_render_kernels<float>();
}  // namespace diffmpm
