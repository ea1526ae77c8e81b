// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/mpm/rollout.hpp"

#include <memory>

#include "backend.hpp"
#include "trajectory.hpp"
#include "trajectory_report.hpp"
#include "trajectory_vjp.hpp"

namespace diffmpm {

template <class T>
Rollout<T>::Rollout(const MpmParams& params, const RolloutInput<T>& input)
    : trajectory_(std::make_unique<Trajectory<T, CpuBackend<T>>>(params, input, CpuBackend<T>(params))) {}

template class Rollout<float>;
template class Rollout<double>;

}  // namespace diffmpm
