// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/mpm/constants.hpp"
#include "diffmpm/mpm/params.hpp"

namespace diffmpm::testing {

// Parameters with every option on.
inline MpmParams example_params() {
  MpmParams p;
  p.dx = 0.5, p.dt = 0.05, p.drag = 0.4, p.smoothing = 0.3, p.damping = 0.2;
  p.shear_viscosity = 0.6, p.bulk_viscosity = 0.8, p.volume_carried = true;
  p.gravity[0] = 0.1, p.gravity[1] = -0.2, p.gravity[2] = -9.8;
  p.dims[0] = p.dims[1] = p.dims[2] = 12;
  p.boundary = Boundary::slip, p.boundary_nodes = 2;
  return p;
}

}  // namespace diffmpm::testing
