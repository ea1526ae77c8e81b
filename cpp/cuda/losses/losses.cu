// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "losses/losses.cuh"

#include "core/queue.cuh"

namespace diffmpm::cuda {

template <class T>
double loss_grid_mass(MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref, T outside_weight,
                      T* adj_m, void* stream) {
  Queue queue(stream);
  return loss_grid_mass_on(queue, loss, count, m, target, m_ref, outside_weight, adj_m);
}

template <class T>
double loss_kinetic(std::int64_t count, const T* v, T* adj_v, void* stream) {
  Queue queue(stream);
  return loss_kinetic_on(queue, count, v, adj_v);
}

template <class T>
void put_loss_grid_mass(MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref, T outside_weight,
                        T* adj_m, double* value, void* stream) {
  Queue queue(stream);
  put_loss_grid_mass_on(queue, loss, count, m, target, m_ref, outside_weight, adj_m, value);
}

template <class T>
void put_loss_kinetic(std::int64_t count, const T* v, T* adj_v, double* value, void* stream) {
  Queue queue(stream);
  put_loss_kinetic_on(queue, count, v, adj_v, value);
}

template double loss_grid_mass<float>(MassLoss, std::int64_t, const float*, const float*, float, float, float*, void*);
template double loss_grid_mass<double>(MassLoss, std::int64_t, const double*, const double*, double, double, double*,
                                       void*);
template double loss_kinetic<float>(std::int64_t, const float*, float*, void*);
template double loss_kinetic<double>(std::int64_t, const double*, double*, void*);
template void put_loss_grid_mass<float>(MassLoss, std::int64_t, const float*, const float*, float, float, float*,
                                        double*, void*);
template void put_loss_grid_mass<double>(MassLoss, std::int64_t, const double*, const double*, double, double, double*,
                                         double*, void*);
template void put_loss_kinetic<float>(std::int64_t, const float*, float*, double*, void*);
template void put_loss_kinetic<double>(std::int64_t, const double*, double*, double*, void*);

}  // namespace diffmpm::cuda
