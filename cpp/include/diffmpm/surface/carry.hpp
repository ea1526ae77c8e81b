// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

// Functions that carry a mesh through the motion of a body: how points move with the particles around them, how far they are from a
// surface, and the solution of the equations that smooth displacements. Nothing here has a gradient. The results do not depend on the
// number of threads.

namespace diffmpm::geometry {
class PointTree;
}

namespace diffmpm::surface {

// Displacements [m] (n, 3) and their gradients (n, 3, 3) of points (n, 3), when the particles of a tree, at `before` (count, 3), move to
// `after` (count, 3). The local affine maps of the nearest particles are blended at each point; they are those of Sumner, Schmid and
// Pauly 2007, Embedded deformation for shape manipulation, fitted to the neighbourhoods of the particles.
void displacements(const geometry::PointTree& particles, const double* before, const double* after,
                   const double* points, std::int64_t n, double* displacement, double* gradient);

// Signed distances [m] (n,), positive outside, from points (n, 3) to a surface with `vertices` (count, 3), those of a tree, and unit
// normals (count, 3); and the normals (n, 3) of the surface near each point.
void distances(const geometry::PointTree& tree, const double* vertices, const float* normals, const double* points,
               std::int64_t n, double* distance, double* normal);

// A symmetric matrix P^T L D L^T P of which a sparse factorisation is known.
struct Factorisation {
  std::vector<std::int32_t> start;  // (n + 1,) first entry of each column of L, below the diagonal of ones
  std::vector<std::int32_t> row;    // of each entry
  std::vector<double> value;        // of each entry
  std::vector<double> diagonal;     // (n,) of D
  std::vector<std::int32_t> order;  // (n,) row of P x that holds each row of x

  std::int64_t size() const { return static_cast<std::int64_t>(diagonal.size()); }
};

// x (n, columns) = A^-1 b, with b (n, columns). Several columns cost little more than one: reading L takes the time.
void solve(const Factorisation& A, const double* b, int columns, double* x);

}  // namespace diffmpm::surface
