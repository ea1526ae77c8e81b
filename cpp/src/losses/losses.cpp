// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/losses/losses.hpp"

#include "diffmpm/core/sums.hpp"
#include "diffmpm/losses/grid_mass.hpp"

namespace diffmpm {
namespace {

constexpr std::int64_t kChunk = 8192;  // terms summed sequentially

}  // namespace

template <class T>
double loss_grid_mass(MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref, T outside_weight,
                      T* adj_m) {
  double value = 0;
  visit_mass_loss(loss, [&](auto node) {
    value = sum_terms<kChunk>(count, MassTerm<T, decltype(node)>{m, target, m_ref, outside_weight, adj_m});
  });
  return value;
}

template <class T>
double loss_kinetic(std::int64_t count, const T* v, T* adj_v) {
  return sum_terms<kChunk>(3 * count, KineticTerm<T>(count, v, adj_v)) / static_cast<double>(count);
}

template double loss_grid_mass<float>(MassLoss, std::int64_t, const float*, const float*, float, float, float*);
template double loss_grid_mass<double>(MassLoss, std::int64_t, const double*, const double*, double, double, double*);
template double loss_kinetic<float>(std::int64_t, const float*, float*);
template double loss_kinetic<double>(std::int64_t, const double*, double*);

}  // namespace diffmpm
