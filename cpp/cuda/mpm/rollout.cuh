// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "core/queue.cuh"
#include "diffmpm/mpm/grid_mass.hpp"
#include "diffmpm/mpm/trajectory.hpp"
#include "mpm/backend.cuh"

// The simulation on a device, for one precision; rollout_float.cu and rollout_double.cu are compiled side by side.

namespace diffmpm {

template <class T>
const MpmFunctions<T>& MpmFunctions<T>::cuda() {
  using cuda::Queue;
  using Backend = cuda::DeviceBackend<T, Queue>;
  static constexpr MpmFunctions kTable{
      [](const Context& context, const MpmParams& params, const RolloutInput<T>& input) -> std::unique_ptr<Rollout<T>> {
        return std::make_unique<Trajectory<Backend>>(params, input, Backend(params, Queue(context)));
      },
      [](const Context& context, const MpmParams& params, std::int64_t count, const T* x, const T* mass, T* out) {
        MassTransfer<Backend>(params, count, x, mass, Backend(params, Queue(context))).forward(out);
      },
      [](const Context& context, const MpmParams& params, std::int64_t count, const T* x, const T* mass,
         const T* adj_out, T* adj_x, T* adj_mass) {
        MassTransfer<Backend>(params, count, x, mass, Backend(params, Queue(context))).vjp(adj_out, adj_x, adj_mass);
      }};
  return kTable;
}

}  // namespace diffmpm
