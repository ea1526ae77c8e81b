// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "diffmpm/geometry/inside.hpp"

namespace diffmpm::geometry {

// What the edges of a mesh say, after vertices at bitwise equal positions are taken as one (files such as .stl
// repeat them). Triangles that collapse to a point or a line add nothing.
struct Topology {
  // Edges whose directed uses do not cancel, as pairs of vertex indices: the boundary of the surface as a chain.
  // Empty exactly where the winding number is an integer everywhere off the surface.
  std::vector<std::int32_t> boundary;
  std::int64_t non_manifold = 0;  // edges of three triangles or more
};

Topology topology(const MeshView& mesh);

}  // namespace diffmpm::geometry
