// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "../core/isa.hpp"
#include "diffmpm/mpm/params.hpp"
#include "layout.hpp"

// The passes of a step, compiled for each instruction set; `isa_table` selects one at run time.

namespace diffmpm {

template <class T>
struct StepArgs {
  const MpmParams* params = nullptr;
  const Layout* layout = nullptr;
  int state_components = kStateComponents;
  bool rest_state = false;        // properties hold Fp^-1
  bool mass_only = false;         // transfer mass, no momentum (grid mass and its adjoint)
  const T* properties = nullptr;  // groups of particle properties
  const T* state = nullptr;       // groups of layer n
  T* next = nullptr;              // groups of layer n + 1
  const T* control = nullptr;     // (N, 3, 3) of this step in the caller's order, or null
  T* tiles = nullptr;             // one per particle block
  T* grid_mq = nullptr;           // mass and momentum, (grid block, 64, 4)
  T* grid_v = nullptr;            // velocity in channels 1..3; in the adjoint also (adj_m, adj_q)
  T* adj = nullptr;               // groups of the state's adjoint, updated in place from n + 1 to n
  T* adj_properties = nullptr;    // groups, accumulated, or null
  T* adj_control = nullptr;       // (N, 3, 3) of this step, written, or null
  double* adj_gravity = nullptr;  // (grid block, 3), accumulated
  double* adj_drag = nullptr;     // (particle block), accumulated
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
