// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Instantiates the per-particle and per-node functions of the headers as device code, for float and double.
#include "diffmpm/core/device.hpp"
