// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "diffmpm/losses/losses.hpp"
#include "diffmpm/mpm/rollout.hpp"
#include "diffmpm/render/rasterize.hpp"
#include "diffmpm/surface/surface.hpp"

// Core entry points used by the PyTorch operators. The operators are a library of their own, because they link PyTorch and the
// Python module must not. They reach the core of the module through this table, so a process holds one copy of the core, with one
// thread pool, one memory pool and one choice of the instruction set.

namespace diffmpm::torch_ops {

// Why a call failed: a name of `SimulationError.cause`, "interrupted", "memory", "device" or "argument"; empty after success.
struct Failure {
  std::string cause, what;
  std::int64_t particle = -1, step = -1;
};

// Entries that return a pointer return null on failure.
template <class T>
struct CoreTable {
  std::shared_ptr<Rollout<T>> (*run)(const MpmParams&, const RolloutInput<T>&, Failure&);
  void (*states)(Rollout<T>&, const std::vector<std::int64_t>& layers, T* x, T* v, T* C, T* F, T* G, Failure&);
  void (*vjp)(Rollout<T>&, const std::vector<StateAdjoint<T>>&, RolloutGradients<T>&, Failure&);
  void (*grid_mass)(const MpmParams&, std::int64_t count, const T* x, const T* mass, T* out, Failure&);
  void (*grid_mass_vjp)(const MpmParams&, std::int64_t count, const T* x, const T* mass, const T* adj_out, T* adj_x,
                        T* adj_mass, Failure&);
  void (*mass_loss)(MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref, T outside_weight, T* adj_m,
                    double* value, Failure&);
  void (*kinetic_loss)(std::int64_t count, const T* v, T* adj_v, double* value, Failure&);
  // On a device, a context has PyTorch's current stream; that of the images may be another one than that of their adjoint.
  std::shared_ptr<Rasterization<T>> (*rasterize)(const Context&, const RasterInput<T>&, DrawnImages<T>&, Failure&);
  void (*rasterize_vjp)(const Context& of_images, const Context&, const Rasterization<T>&, const RasterAdjoint<T>&,
                        const RasterGradients<T>&, Failure&);
  void (*surface)(const surface::BindingView<T>&, const T* x, const T* F, T sigma0, const surface::GaussianArrays<T>&,
                  Failure&);
  void (*surface_vjp)(const surface::BindingView<T>&, const T* x, const T* F, T sigma0,
                      const surface::GaussianArrays<const T>&, T* adj_x, T* adj_F, double* adj_sigma0, Failure&);
};

struct Table {
  std::size_t size = sizeof(Table);  // tells operators and module of different builds apart
  CoreTable<float> single_precision;
  CoreTable<double> double_precision;
  // Bytes of the core's memory pool, which reuses pages: fresh ones cost as much as a step.
  std::shared_ptr<void> (*allocate)(std::size_t bytes, Failure&);
  void (*release_idle_memory)(const Context&, Failure&);  // of a device
};

template <class T>
const CoreTable<T>& core(const Table& table) {
  if constexpr (std::is_same_v<T, float>) {
    return table.single_precision;
  } else {
    return table.double_precision;
  }
}

}  // namespace diffmpm::torch_ops
