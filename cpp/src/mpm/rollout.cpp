// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/mpm/rollout.hpp"

#include "backend.hpp"
#include "diffmpm/mpm/grid_mass.hpp"

namespace diffmpm {

template <class T>
const MpmFunctions<T>& MpmFunctions<T>::host() {
  static constexpr MpmFunctions kTable = mpm_functions<CpuBackend<T>>();
  return kTable;
}

template const MpmFunctions<float>& MpmFunctions<float>::host();
template const MpmFunctions<double>& MpmFunctions<double>::host();

}  // namespace diffmpm
