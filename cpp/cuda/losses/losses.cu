// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "losses/losses.cuh"

#include "core/queue.cuh"
#include "losses/transport.cuh"

namespace diffmpm {
namespace {

template <class T>
void grid_mass_loss(const Context& context, MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref,
                    T outside_weight, T* adj_m, double* value) {
  cuda::Queue queue(context);
  cuda::grid_mass_loss_on(queue, loss, count, m, target, m_ref, outside_weight, adj_m, value);
}

template <class T>
void kinetic_loss(const Context& context, std::int64_t count, const T* v, T* adj_v, double* value) {
  cuda::Queue queue(context);
  cuda::kinetic_loss_on(queue, count, v, adj_v, value);
}

template <class T>
void proximity_loss(const Context& context, std::int64_t count, const T* x, std::int64_t points, const T* y, T spacing,
                    T reach, T* adj_x, double* value) {
  cuda::Queue queue(context);
  cuda::proximity_loss_on(queue, count, x, points, y, spacing, reach, adj_x, value);
}

template <class T>
void skin_loss(const Context& context, std::int64_t count, const T* x, const FieldGrid<T>& distance, T spacing,
               T* adj_x, double* value) {
  cuda::Queue queue(context);
  cuda::skin_loss_on(queue, count, x, distance, spacing, adj_x, value);
}

template <class T>
void transport_loss(const Context& context, const TransportOptions& options, const T* m, const T* target, T* dual,
                    T* adj_m, double* value) {
  cuda::Queue queue(context);
  cuda::transport_loss_on(queue, options, m, target, dual, adj_m, value);
}

template <class T>
void transport_self_loss(const Context& context, const TransportOptions& options, const T* m, T* dual, T* adj_m,
                         double* value) {
  cuda::Queue queue(context);
  cuda::transport_self_loss_on(queue, options, m, dual, adj_m, value);
}

}  // namespace

template <class T>
const LossFunctions<T>& LossFunctions<T>::cuda() {
  static constexpr LossFunctions kTable{grid_mass_loss<T>, kinetic_loss<T>,   proximity_loss<T>,
                                        skin_loss<T>,      transport_loss<T>, transport_self_loss<T>};
  return kTable;
}

template const LossFunctions<float>& LossFunctions<float>::cuda();
template const LossFunctions<double>& LossFunctions<double>::cuda();

}  // namespace diffmpm
