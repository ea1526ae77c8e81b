// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

// Options of a simulation, in SI units. `python/diffmpm/config.py` has the same fields; a test compares them.

namespace diffmpm {

using Index = std::int32_t;

// Enumerations, with their names in the order of the values.
enum class Basis : int { quadratic, cubic };
inline constexpr const char* kBasisNames[] = {"quadratic", "cubic"};
enum class Material : int { fixed_corotated, neo_hookean };
inline constexpr const char* kMaterialNames[] = {"fixed_corotated", "neo_hookean"};
enum class Boundary : int { none, sticky, slip, separate };
inline constexpr const char* kBoundaryNames[] = {"none", "sticky", "slip", "separate"};
enum class ColliderShape : int { half_space, sphere };
inline constexpr const char* kColliderShapeNames[] = {"half_space", "sphere"};

// The adjoint keeps one velocity per collider in registers.
inline constexpr int kMaxColliders = 16;

template <class T>
struct ColliderFields {
  ColliderShape shape = ColliderShape::half_space;
  Boundary mode = Boundary::separate;
  T point[3] = {};                   // a point of the plane, or the centre [m]
  T normal[3] = {T(0), T(0), T(1)};  // outward unit normal of the half-space
  T radius = T(0);                   // of the sphere [m]
};
using Collider = ColliderFields<double>;

// T is double in MpmParams, and the precision of a run in StepConstants.
template <class T>
struct MpmFields {
  T dx = T(1);                                    // grid spacing [m], > 0
  T dt = T(1e-3);                                 // time step [s], > 0
  T origin[3] = {};                               // position of node (0, 0, 0) [m]
  Index dims[3] = {64, 64, 64};                   // nodes per axis
  Basis basis = Basis::cubic;                     // B-spline of the transfers
  Material material = Material::fixed_corotated;  // constitutive model
  Boundary boundary = Boundary::none;             // condition on the outer node layers
  Index boundary_nodes = 3;                       // number of those layers
  T smoothing = T(0);                             // fraction of the old F in (7), [0, 1)
  T drag = T(0);                                  // linear drag [1/s], >= 0
  T gravity[3] = {};                              // [m/s^2]
  T shear_viscosity = T(0);                       // [Pa s], >= 0
  T bulk_viscosity = T(0);                        // [Pa s], >= 0
  T damping = T(0);                               // fraction of sym(C') that a step removes, [0, 1)
  bool volume_carried = false;                    // det F' = det(F) det(I + dt C')
};

struct MpmParams : MpmFields<double> {
  std::vector<Collider> colliders;  // applied in order, before the boundary
};

// Calls f(name, pointer to member of each P) for every field; all P derive from MpmFields.
template <class... P, class F>
constexpr void for_each_field(F&& f) {
  f("dx", &P::dx...);
  f("dt", &P::dt...);
  f("origin", &P::origin...);
  f("dims", &P::dims...);
  f("basis", &P::basis...);
  f("material", &P::material...);
  f("boundary", &P::boundary...);
  f("boundary_nodes", &P::boundary_nodes...);
  f("smoothing", &P::smoothing...);
  f("drag", &P::drag...);
  f("gravity", &P::gravity...);
  f("shear_viscosity", &P::shear_viscosity...);
  f("bulk_viscosity", &P::bulk_viscosity...);
  f("damping", &P::damping...);
  f("volume_carried", &P::volume_carried...);
}

// The same for the fields of colliders.
template <class... P, class F>
constexpr void for_each_collider_field(F&& f) {
  f("shape", &P::shape...);
  f("mode", &P::mode...);
  f("point", &P::point...);
  f("normal", &P::normal...);
  f("radius", &P::radius...);
}

// Convert one field, element by element where it is an array.
template <class From, class To>
constexpr void assign_field(To& to, const From& from) {
  if constexpr (std::is_array_v<To>) {
    for (std::size_t r = 0; r < std::extent_v<To>; ++r) assign_field(to[r], from[r]);
  } else {
    to = static_cast<To>(from);
  }
}

}  // namespace diffmpm
