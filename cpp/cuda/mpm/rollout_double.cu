// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "mpm/rollout.cuh"

namespace diffmpm::cuda {
template Rollout<double> rollout<double>(const MpmParams&, const RolloutInput<double>&, void*);
template void grid_mass<double>(const MpmParams&, std::int64_t, const double*, const double*, double*, void*);
template void grid_mass_vjp<double>(const MpmParams&, std::int64_t, const double*, const double*, const double*,
                                    double*, double*, void*);
}  // namespace diffmpm::cuda
