// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/core/context.hpp"

// Loss drivers: value in double precision, gradient into an array. Sums run over fixed chunks, independent of the number of
// threads.

namespace diffmpm {

// Formulas: `visit_mass_loss` in grid_mass.hpp.
enum class MassLoss : int { log, squared };
inline constexpr const char* kMassLossNames[] = {"log", "squared"};

// Entropic transport on a grid, in units of cells.
struct TransportOptions {
  std::int64_t dims[3] = {0, 0, 0};
  double first_temperature =
      0;  // [cells^2] of the first sweep; each of the next is half of the one before, down to `temperature`
  double temperature = 1;  // [cells^2]
  int sweeps = 1;          // at `temperature`
};

// A scalar field on the nodes of a grid, at least 2 along each axis.
template <class T>
struct FieldGrid {
  std::int64_t dims[3] = {0, 0, 0};
  T origin[3] = {0, 0, 0}, spacing = 1;
  const T* values = nullptr;  // dims
};

// `value` is one number in the memory of the context; no function waits for it.
template <class T>
struct LossFunctions {
  // Sum over grid nodes of a mass loss; nodes without target mass count `outside_weight` times. Writes adj_m (count).
  void (*grid_mass)(const Context&, MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref,
                    T outside_weight, T* adj_m, double* value);
  // Mean of |v|^2 [m^2/s^2] over count particles, v (count, 3). Writes adj_v (count, 3).
  void (*kinetic)(const Context&, std::int64_t count, const T* v, T* adj_v, double* value);
  // Mean over `points` target points y (points, 3) of the penalty of the distance to the nearest of count > 0 particles x
  // (count, 3) beyond `reach` spacings; of several particles at one distance the first is the nearest. Writes adj_x (count, 3).
  void (*proximity)(const Context&, std::int64_t count, const T* x, std::int64_t points, const T* y, T spacing, T reach,
                    T* adj_x, double* value);
  // Mean over count particles x (count, 3) of the penalty of their signed distance to a solid, in spacings. Writes adj_x (count, 3).
  void (*skin)(const Context&, std::int64_t count, const T* x, const FieldGrid<T>& distance, T spacing, T* adj_x,
               double* value);
  // Entropic transport cost [cells^2] of the node masses m to those of the target, both over their sums; half of the cost of m to
  // itself if the target is null. dual: potential of the target, on input the one to start from. Writes adj_m. All arrays have a
  // value per node.
  void (*transport)(const Context&, const TransportOptions&, const T* m, const T* target, T* dual, T* adj_m,
                    double* value);

  static const LossFunctions& host();
  static const LossFunctions& cuda();
};

}  // namespace diffmpm
