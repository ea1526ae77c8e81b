// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "kernels.hpp"

#include "composite_pass.hpp"
#include "composite_vjp_pass.hpp"
#include "project_pass.hpp"

namespace diffmpm {
namespace {

// Table of the passes for the instruction set that this file is compiled for. Loops are specialised for images of one and three channels, besides the depth.
template <class T>
constexpr RenderKernels<T> make_render_kernels() {
  return {TileScratch<T>::size,
          project_pass<T>,
          list_hits_pass<T>,
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
          project_vjp_pass<T>};
}

}  // namespace

template <>
const RenderKernels<float>& isa_table<IsaLevel::DIFFMPM_ISA, RenderKernels<float>>() {
  static constexpr auto kTable = make_render_kernels<float>();
  return kTable;
}

template <>
const RenderKernels<double>& isa_table<IsaLevel::DIFFMPM_ISA, RenderKernels<double>>() {
  static constexpr auto kTable = make_render_kernels<double>();
  return kTable;
}

}  // namespace diffmpm
