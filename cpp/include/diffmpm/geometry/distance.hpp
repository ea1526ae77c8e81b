// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/geometry/inside.hpp"

namespace diffmpm::geometry {

// distance[n] = exact distance from node n to the nearest marked node, in cells; infinite if no node is marked.
// Arrays [dims[0]][dims[1]][dims[2]].
void distance_to_marked(const std::uint8_t* marked, const std::int64_t* dims, double* distance);

// distance[n] = exact distance from node n, at origin + spacing (i, j, k), to the nearest triangle if it is at most `limit`,
// infinity otherwise. Arrays [dims[0]][dims[1]][dims[2]].
void distance_to_triangles(const MeshView& mesh, const double* origin, double spacing, const std::int64_t* dims,
                           double limit, double* distance);

}  // namespace diffmpm::geometry
