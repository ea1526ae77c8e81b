// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "composite_pass.hpp"
#include "composite_vjp_pass.hpp"
#include "project_pass.hpp"
#include "project_vjp_pass.hpp"

// One precision's table of passes for the instruction set that this file is compiled for.

DIFFMPM_BEGIN_ISA

// Images of one and of three channels, with the depth, have loops of their own; any other number shares the last.
template <class T>
constexpr RenderKernels<T> make_render_kernels() {
  return {[](int channels) { return scratch_size<T>(channels); },
          [](const ViewArgs<T>& a) { project_pass(a); },
          [](const ViewArgs<T>& a) { list_hits_pass(a); },
          [](const ViewArgs<T>& a) {
            if (a.channels == 4) return composite_pass<T, 4>(a);
            if (a.channels == 2) return composite_pass<T, 2>(a);
            composite_pass<T, 0>(a);
          },
          [](const ViewArgs<T>& a, const ViewAdjointArgs<T>& adj) {
            if (a.channels == 4) return composite_vjp_pass<T, 4>(a, adj);
            if (a.channels == 2) return composite_vjp_pass<T, 2>(a, adj);
            composite_vjp_pass<T, 0>(a, adj);
          },
          [](const ViewArgs<T>& a, const ViewAdjointArgs<T>& adj) { project_vjp_pass(a, adj); }};
}

DIFFMPM_END_ISA
