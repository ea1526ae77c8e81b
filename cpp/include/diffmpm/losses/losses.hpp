// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

// Loss drivers: value in double precision, gradient into an array. Sums run over fixed chunks, independent of the number of
// threads.

namespace diffmpm {

// Formulas: `visit_mass_loss` in grid_mass.hpp.
enum class MassLoss : int { log, squared };
inline constexpr const char* kMassLossNames[] = {"log", "squared"};

// Sum over grid nodes of a mass loss; nodes without target mass count `outside_weight` times. Writes adj_m (count).
template <class T>
double loss_grid_mass(MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref, T outside_weight,
                      T* adj_m);

// Mean of |v|^2 [m^2/s^2] over count particles, v (count, 3). Writes adj_v (count, 3).
template <class T>
double loss_kinetic(std::int64_t count, const T* v, T* adj_v);

// The same on the current CUDA device: arrays are memory of the device, the work is put on `stream`, a cudaStream_t,
// and the call waits for the value. Throws DeviceError, also in builds without CUDA.
namespace cuda {

template <class T>
double loss_grid_mass(MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref, T outside_weight,
                      T* adj_m, void* stream);

template <class T>
double loss_kinetic(std::int64_t count, const T* v, T* adj_v, void* stream);

// These return without waiting; `value` is memory of the device.
template <class T>
void put_loss_grid_mass(MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref, T outside_weight,
                        T* adj_m, double* value, void* stream);
template <class T>
void put_loss_kinetic(std::int64_t count, const T* v, T* adj_v, double* value, void* stream);

}  // namespace cuda

}  // namespace diffmpm
