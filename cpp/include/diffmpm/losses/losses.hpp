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

  static const LossFunctions& host();
  static const LossFunctions& cuda();
};

}  // namespace diffmpm
