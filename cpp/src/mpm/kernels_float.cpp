// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "kernel_table.hpp"

namespace diffmpm {

template <>
const Kernels<float>& isa_table<IsaLevel::DIFFMPM_ISA, Kernels<float>>() {
  static constexpr auto kTable = make_kernels<float>();
  return kTable;
}

}  // namespace diffmpm
