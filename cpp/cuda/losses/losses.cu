// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "losses/losses.cuh"

#include "core/queue.cuh"
#include "losses/transport.cuh"

namespace diffmpm {

template <class T>
const LossFunctions<T>& LossFunctions<T>::cuda() {
  using cuda::OnQueue;
  using cuda::Queue;
  static constexpr LossFunctions kTable{
      OnQueue<&cuda::grid_mass_loss_on<T, Queue>>::call, OnQueue<&cuda::kinetic_loss_on<T, Queue>>::call,
      OnQueue<&cuda::proximity_loss_on<T, Queue>>::call, OnQueue<&cuda::skin_loss_on<T, Queue>>::call,
      OnQueue<&cuda::transport_loss_on<T, Queue>>::call, OnQueue<&cuda::transport_self_loss_on<T, Queue>>::call};
  return kTable;
}

template const LossFunctions<float>& LossFunctions<float>::cuda();
template const LossFunctions<double>& LossFunctions<double>::cuda();

}  // namespace diffmpm
