// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "kernel_table.hpp"

namespace diffmpm {

template <>
const Kernels<double>& isa_table<IsaLevel::DIFFMPM_ISA, Kernels<double>>() {
  static constexpr auto kTable = make_kernels<double>();
  return kTable;
}

}  // namespace diffmpm
