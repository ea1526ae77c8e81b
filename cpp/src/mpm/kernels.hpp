// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "../core/isa.hpp"
#include "diffmpm/mpm/params.hpp"
#include "layout.hpp"

// The passes of a step, compiled for each instruction set; `isa_table` selects one at run time.

namespace diffmpm {

// One tile and one value of adj_drag per particle block; three values of adj_gravity per grid block.
template <class T>
struct StepArgs : StepFields<T> {
  const MpmParams* params = nullptr;
  const Layout* layout = nullptr;
  std::uint8_t* flags = nullptr;  // (particle block)
  int threads = 1;
};

template <class T>
struct Kernels {
  std::int64_t (*tile_size)(Basis);                    // values per tile
  void (*particles_to_tiles)(const StepArgs<T>&);      // state -> tiles
  void (*tiles_to_grid)(const StepArgs<T>&);           // tiles -> grid_mq, grid_v
  void (*grid_velocity)(const StepArgs<T>&);           // grid_mq -> grid_v
  void (*grid_to_particles)(const StepArgs<T>&);       // grid_v, state -> next
  void (*grid_to_particles_vjp)(const StepArgs<T>&);   // grid_v, state, next, adj -> tiles, adj
  void (*tiles_to_grid_vjp)(const StepArgs<T>&);       // tiles, grid_mq -> grid_v (as adjoint of mass and momentum)
  void (*particles_to_tiles_vjp)(const StepArgs<T>&);  // grid_v, state, adj -> adj, adj_control, adj_properties
};

}  // namespace diffmpm
