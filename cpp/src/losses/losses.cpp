// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/losses/losses.hpp"

#include "diffmpm/core/sums.hpp"
#include "diffmpm/losses/grid_mass.hpp"

namespace diffmpm {
namespace {

constexpr std::int64_t kChunk = 8192;  // terms summed sequentially

template <class T>
void grid_mass_loss(const Context&, MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref,
                    T outside_weight, T* adj_m, double* value) {
  visit_mass_loss(loss, [&](auto node) {
    *value = sum_terms<kChunk>(count, MassTerm<T, decltype(node)>{m, target, m_ref, outside_weight, adj_m});
  });
}

template <class T>
void kinetic_loss(const Context&, std::int64_t count, const T* v, T* adj_v, double* value) {
  *value = sum_terms<kChunk>(3 * count, KineticTerm<T>(count, v, adj_v)) / static_cast<double>(count);
}

}  // namespace

template <class T>
const LossFunctions<T>& LossFunctions<T>::host() {
  static constexpr LossFunctions kTable{grid_mass_loss<T>, kinetic_loss<T>};
  return kTable;
}

template const LossFunctions<float>& LossFunctions<float>::host();
template const LossFunctions<double>& LossFunctions<double>::host();

}  // namespace diffmpm
