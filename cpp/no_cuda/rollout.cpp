// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Stub of the simulation and its losses on a device, for builds without the CUDA backend.
#include "diffmpm/mpm/rollout.hpp"

#include "diffmpm/core/device.hpp"
#include "diffmpm/losses/image_loss.hpp"
#include "diffmpm/losses/losses.hpp"

namespace diffmpm::cuda {
template <class T>
Rollout<T> rollout(const MpmParams&, const RolloutInput<T>&, void*) {
  refuse();
}
template <class T>
void grid_mass(const MpmParams&, std::int64_t, const T*, const T*, T*, void*) {
  refuse();
}
template <class T>
void grid_mass_vjp(const MpmParams&, std::int64_t, const T*, const T*, const T*, T*, T*, void*) {
  refuse();
}
template <class T>
double loss_grid_mass(MassLoss, std::int64_t, const T*, const T*, T, T, T*, void*) {
  refuse();
}
template <class T>
double loss_kinetic(std::int64_t, const T*, T*, void*) {
  refuse();
}
template <class T>
void put_loss_grid_mass(MassLoss, std::int64_t, const T*, const T*, T, T, T*, double*, void*) {
  refuse();
}
template <class T>
void put_loss_kinetic(std::int64_t, const T*, T*, double*, void*) {
  refuse();
}
template <class T>
double image_loss(const ImageLossInput<T>&, void*) {
  refuse();
}

#define DIFFMPM_STUBS(T)                                                                                       \
  template Rollout<T> rollout<T>(const MpmParams&, const RolloutInput<T>&, void*);                             \
  template void grid_mass<T>(const MpmParams&, std::int64_t, const T*, const T*, T*, void*);                   \
  template void grid_mass_vjp<T>(const MpmParams&, std::int64_t, const T*, const T*, const T*, T*, T*, void*); \
  template double loss_grid_mass<T>(MassLoss, std::int64_t, const T*, const T*, T, T, T*, void*);              \
  template double loss_kinetic<T>(std::int64_t, const T*, T*, void*);                                          \
  template void put_loss_grid_mass<T>(MassLoss, std::int64_t, const T*, const T*, T, T, T*, double*, void*);   \
  template void put_loss_kinetic<T>(std::int64_t, const T*, T*, double*, void*);                               \
  template double image_loss<T>(const ImageLossInput<T>&, void*);
DIFFMPM_STUBS(float)
DIFFMPM_STUBS(double)
#undef DIFFMPM_STUBS

}  // namespace diffmpm::cuda
