// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "mpm/rollout.cuh"

namespace diffmpm::cuda {
template Rollout<float> rollout<float>(const MpmParams&, const RolloutInput<float>&, void*);
template void grid_mass<float>(const MpmParams&, std::int64_t, const float*, const float*, float*, void*);
template void grid_mass_vjp<float>(const MpmParams&, std::int64_t, const float*, const float*, const float*, float*,
                                   float*, void*);
}  // namespace diffmpm::cuda
