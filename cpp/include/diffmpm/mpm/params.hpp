// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

// Options of a simulation, in SI units. `python/diffmpm/config.py` mirrors them; a test holds both equal.

namespace diffmpm {

using Index = std::int32_t;

enum class Basis : int { quadratic = 0, cubic = 1 };
enum class Material : int { fixed_corotated = 0, neo_hookean = 1 };
enum class Boundary : int { none = 0, sticky = 1, slip = 2, separate = 3 };
enum class ColliderShape : int { half_space = 0, sphere = 1 };

// At most this many colliders: their adjoint keeps one velocity a collider in registers.
inline constexpr int kMaxColliders = 16;

struct Collider {
  ColliderShape shape = ColliderShape::half_space;
  Boundary mode = Boundary::separate;
  double point[3] = {0, 0, 0};   // a point of the plane, or the centre [m]
  double normal[3] = {0, 0, 1};  // outward unit normal of the half-space
  double radius = 0;             // of the sphere [m]
};

struct MpmParams {
  double dx = 1;                                  // grid spacing [m], > 0
  double dt = 1e-3;                               // time step [s], > 0
  double origin[3] = {0, 0, 0};                   // position of node (0, 0, 0) [m]
  Index dims[3] = {64, 64, 64};                   // nodes per axis
  Basis basis = Basis::cubic;                     // B-spline of the transfers
  Material material = Material::fixed_corotated;  // constitutive model
  Boundary boundary = Boundary::none;             // condition on the outer node layers
  Index boundary_nodes = 3;                       // number of those layers
  double smoothing = 0;                           // share of the old F kept by (7), [0, 1)
  double drag = 0;                                // linear drag [1/s], >= 0
  double gravity[3] = {0, 0, 0};                  // [m/s^2]
  double shear_viscosity = 0;                     // [Pa s], >= 0
  double bulk_viscosity = 0;                      // [Pa s], >= 0
  double damping = 0;                             // share of sym(C') removed a step, [0, 1)
  bool volume_carried = false;                    // det F' = det(F) det(I + dt C')
  std::vector<Collider> colliders;                // applied in order, before the boundary
};

}  // namespace diffmpm
