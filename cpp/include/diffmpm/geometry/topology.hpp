// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "diffmpm/geometry/inside.hpp"

namespace diffmpm::geometry {

// Edges of a mesh. Vertices at bitwise equal positions count as one, because files such as .stl repeat them. Triangles that
// collapse to a point or a line have no edges.
struct Topology {
  // Edges whose directed uses do not cancel, as pairs of vertex indices: the boundary of the surface as a chain. Empty if and
  // only if the winding number is an integer everywhere off the surface.
  std::vector<std::int32_t> boundary;
  std::int64_t open = 0;          // edges of an odd number of triangles, where the surface ends
  std::int64_t non_manifold = 0;  // edges of three triangles or more
};

Topology topology(const MeshView& mesh);

// Parts of a mesh: triangles connected across edges of exactly two triangles. In a part that can be wound consistently `turned`
// flags the triangles to reverse; in one that cannot (a Moebius band) all flags are 0.
struct Parts {
  std::vector<std::int32_t> part;    // of each triangle; parts are numbered in order of their first triangle
  std::vector<std::uint8_t> turned;  // 1 where the winding differs from that of the part's first triangle
  std::vector<std::uint8_t> border;  // bit k: the part ends at edge k, between the corners k and k + 1
};

Parts parts(const MeshView& mesh);

}  // namespace diffmpm::geometry
