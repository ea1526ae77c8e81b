// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "adjoint.hpp"
#include "forward.hpp"

// Table of the passes for the instruction set that this file is compiled for.

DIFFMPM_BEGIN_ISA

#define DIFFMPM_BY_BASIS(pass)                                                                 \
  [](const StepArgs<T>& a) {                                                                   \
    a.params->basis == Basis::cubic ? pass<T, Basis::cubic>(a) : pass<T, Basis::quadratic>(a); \
  }

template <class T>
constexpr Kernels<T> make_kernels() {
  return {[](Basis basis) {
            return basis == Basis::cubic ? TileShape<Basis::cubic>::kSize : TileShape<Basis::quadratic>::kSize;
          },
          DIFFMPM_BY_BASIS(particles_to_tiles),
          DIFFMPM_BY_BASIS(tiles_to_grid),
          DIFFMPM_BY_BASIS(grid_velocity),
          DIFFMPM_BY_BASIS(grid_to_particles),
          DIFFMPM_BY_BASIS(grid_to_particles_vjp),
          DIFFMPM_BY_BASIS(tiles_to_grid_vjp),
          DIFFMPM_BY_BASIS(particles_to_tiles_vjp)};
}

#undef DIFFMPM_BY_BASIS

DIFFMPM_END_ISA
