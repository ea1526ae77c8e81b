// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "mpm/rollout.cuh"

template const diffmpm::MpmFunctions<double>& diffmpm::MpmFunctions<double>::cuda();
