// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "losses/losses.cuh"

#include "core/queue.cuh"
#include "diffmpm/losses/grid_mass.hpp"
#include "diffmpm/losses/skin.hpp"
#include "losses/transport.cuh"

namespace diffmpm {

template <class T>
const LossFunctions<T>& LossFunctions<T>::cuda() {
  using cuda::Queue;
  static constexpr LossFunctions kTable{
      OnQueue<&grid_mass_loss_on<T, Queue>>::call, OnQueue<&kinetic_loss_on<T, Queue>>::call,
      OnQueue<&cuda::proximity_loss_on<T, Queue>>::call, OnQueue<&skin_loss_on<T, Queue>>::call,
      OnQueue<&cuda::transport_loss_on<T, Queue>>::call};
  return kTable;
}

template const LossFunctions<float>& LossFunctions<float>::cuda();
template const LossFunctions<double>& LossFunctions<double>::cuda();

}  // namespace diffmpm
