// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "mpm/rollout.cuh"

template const diffmpm::MpmFunctions<float>& diffmpm::MpmFunctions<float>::cuda();
