// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "core/queue.cuh"
#include "diffmpm/mpm/grid_mass.hpp"
#include "mpm/backend.cuh"

// The simulation on a device, for one precision; rollout_float.cu and rollout_double.cu are compiled side by side.

namespace diffmpm {

template <class T>
const MpmFunctions<T>& MpmFunctions<T>::cuda() {
  static constexpr MpmFunctions kTable = mpm_functions<cuda::DeviceBackend<T, cuda::Queue>>();
  return kTable;
}

}  // namespace diffmpm
