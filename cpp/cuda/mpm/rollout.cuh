// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "../src/mpm/trajectory.hpp"
#include "../src/mpm/trajectory_report.hpp"
#include "../src/mpm/trajectory_vjp.hpp"
#include "core/queue.cuh"
#include "mpm/grid_mass.cuh"

// The simulation on a device, for one precision; rollout_float.cu and rollout_double.cu are compiled side by side.

namespace diffmpm::cuda {

template <class T>
Rollout<T> rollout(const MpmParams& params, const RolloutInput<T>& input, void* stream) {
  using Backend = DeviceBackend<T, Queue>;
  return Rollout<T>(std::make_unique<Trajectory<T, Backend>>(params, input, Backend(params, Queue(stream))));
}

template <class T>
void grid_mass(const MpmParams& params, std::int64_t count, const T* x, const T* mass, T* out, void* stream) {
  MassTransfer<T, Queue>(params, count, x, mass, Queue(stream)).forward(out);
}

template <class T>
void grid_mass_vjp(const MpmParams& params, std::int64_t count, const T* x, const T* mass, const T* adj_out, T* adj_x,
                   T* adj_mass, void* stream) {
  MassTransfer<T, Queue>(params, count, x, mass, Queue(stream)).vjp(adj_out, adj_x, adj_mass);
}

}  // namespace diffmpm::cuda
