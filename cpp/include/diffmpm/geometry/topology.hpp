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
  std::int64_t open = 0;          // edges of an odd number of triangles: the surface ends there
  std::int64_t non_manifold = 0;  // edges of three triangles or more
};

Topology topology(const MeshView& mesh);

// Parts of a mesh: triangles that are connected across edges of exactly two. In a part that can be wound consistently,
// `turned` says which triangles have to be for that; in one that cannot (a Moebius band) it says nothing.
struct Parts {
  std::vector<std::int32_t> part;    // of each triangle, numbered by their first triangle
  std::vector<std::uint8_t> turned;  // 1 where the winding differs from that of the part's first triangle
  std::vector<std::uint8_t> border;  // bit k: the part ends at edge k, between the corners k and k + 1
};

Parts parts(const MeshView& mesh);

}  // namespace diffmpm::geometry
