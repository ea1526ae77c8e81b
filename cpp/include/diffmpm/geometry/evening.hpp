// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/geometry/inside.hpp"

namespace diffmpm::geometry {

// Moves points[count][3], which fill the solid of a mesh at one per cube of edge `spacing`, until their density is even up to the
// surface: each round moves a point down the gradient of the density of its neighbours and of the space beyond the surface, and
// away from particles closer than a spacing.
// Points that were inside (winding number above 1/2) stay inside, at least 0.3 spacings from the surface where the solid is thick
// enough. The result does not depend on the number of threads.
// Source: particle shifting, Lind, Xu, Stansby and Rogers 2012, with the space beyond the surface filled.
void even_out(const MeshView& mesh, double spacing, double* points, std::int64_t count);

}  // namespace diffmpm::geometry
