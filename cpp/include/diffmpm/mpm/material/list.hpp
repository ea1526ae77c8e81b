// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/mpm/material/fixed_corotated.hpp"
#include "diffmpm/mpm/material/neo_hookean.hpp"
#include "diffmpm/mpm/params.hpp"

// The materials. A new one is a header beside these, an enumerator of `Material`, and one case here.
// stress returns the Kirchhoff stress and keeps up to nine values for stress_vjp, which accumulates.

DIFFMPM_BEGIN_ISA

template <class Function>
DIFFMPM_HD void visit_material(Material material, Function&& function) {
  switch (material) {
    case Material::neo_hookean: return function(NeoHookean{});
    case Material::fixed_corotated: break;
  }
  return function(FixedCorotated{});
}

DIFFMPM_END_ISA
