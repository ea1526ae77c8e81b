// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace diffmpm::geometry {

// distance[n] = exact distance from node n to the nearest marked node, in cells; infinite if no node is marked.
// Arrays [dims[0]][dims[1]][dims[2]].
void distance_to_marked(const std::uint8_t* marked, const std::int64_t* dims, double* distance);

}  // namespace diffmpm::geometry
