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

// T is double in MpmParams, and the precision of a run in StepConstants. Units are SI.
template <class T>
struct MpmFields {
  T dx = T(1);                                    // grid spacing [m]
  T dt = T(1e-3);                                 // time step [s]
  T origin[3] = {};                               // position of node (0, 0, 0) [m]
  Index dims[3] = {64, 64, 64};                   // nodes per axis
  Basis basis = Basis::cubic;                     // B-spline of the transfers
  Material material = Material::fixed_corotated;  // constitutive model
  Boundary boundary = Boundary::none;             // condition on the outer node layers
  Index boundary_nodes = 3;                       // number of those layers
  T smoothing = T(0);                             // fraction of the old F in (7)
  T drag = T(0);                                  // linear drag [1/s]
  T gravity[3] = {};                              // [m/s^2]
  T shear_viscosity = T(0);                       // [Pa s]
  T bulk_viscosity = T(0);                        // [Pa s]
  T damping = T(0);                               // fraction of sym(C') that each step removes
  bool volume_carried = false;                    // det F' = det(F) det(I + dt C')
};

struct MpmParams : MpmFields<double> {
  std::vector<Collider> colliders;  // applied in order, before the boundary
};

// Values that a field accepts. Magnitudes are at most kLargest, and those of scalars other than 0 at least kSmallest: beyond
// them products of a few leave the range of float64.
inline constexpr double kSmallest = 1e-30, kLargest = 1e30;
struct Limits {
  double least = -kLargest, most = kLargest;
  bool above = false, below = false;   // excludes `least`, excludes `most`
  const char* const* names = nullptr;  // of the values of an enumeration
};
inline constexpr Limits kAnyNumber{}, kPositive{.least = 0, .above = true}, kNonNegative{.least = 0};
inline constexpr Limits kFraction{.least = 0, .most = 1, .below = true}, kFlag{.least = 0, .most = 1};

template <std::size_t kCount>
constexpr Limits choices(const char* const (&names)[kCount], int first = 0) {
  return {.least = double(first), .most = double(kCount - 1), .names = names};
}

// The table of the options: calls f(name, limits, pointer to member of each P) for every field; all P derive from MpmFields. The
// Python properties, the constants of the kernels and the codec in params_codec.hpp follow from it.
template <class... P, class F>
constexpr void for_each_field(F&& f) {
  f("dx", kPositive, &P::dx...);
  f("dt", kPositive, &P::dt...);
  f("origin", kAnyNumber, &P::origin...);
  f("dims", Limits{.least = 8, .most = 1 << 20}, &P::dims...);
  f("basis", choices(kBasisNames), &P::basis...);
  f("material", choices(kMaterialNames), &P::material...);
  f("boundary", choices(kBoundaryNames), &P::boundary...);
  f("boundary_nodes", Limits{.least = 0, .most = 1 << 20}, &P::boundary_nodes...);
  f("smoothing", kFraction, &P::smoothing...);
  f("drag", kNonNegative, &P::drag...);
  f("gravity", kAnyNumber, &P::gravity...);
  f("shear_viscosity", kNonNegative, &P::shear_viscosity...);
  f("bulk_viscosity", kNonNegative, &P::bulk_viscosity...);
  f("damping", kFraction, &P::damping...);
  f("volume_carried", kFlag, &P::volume_carried...);
}

// The same for the fields of colliders.
template <class... P, class F>
constexpr void for_each_collider_field(F&& f) {
  f("shape", choices(kColliderShapeNames), &P::shape...);
  f("mode", choices(kBoundaryNames, 1), &P::mode...);
  f("point", kAnyNumber, &P::point...);
  f("normal", kAnyNumber, &P::normal...);
  f("radius", kNonNegative, &P::radius...);
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
