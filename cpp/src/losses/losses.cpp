// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/losses/losses.hpp"

#include <algorithm>
#include <vector>

#include "diffmpm/core/sums.hpp"
#include "diffmpm/geometry/point_tree.hpp"
#include "diffmpm/losses/grid_mass.hpp"
#include "diffmpm/losses/proximity.hpp"
#include "diffmpm/losses/skin.hpp"
#include "transport_host.hpp"

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

template <class T>
void proximity_loss(const Context&, std::int64_t count, const T* x, std::int64_t points, const T* y, T spacing, T reach,
                    T* adj_x, double* value) {
  const std::vector<double> particles(x, x + 3 * count), queries(y, y + 3 * points);
  std::vector<double> distance(static_cast<std::size_t>(points));
  std::vector<std::int32_t> nearest(static_cast<std::size_t>(points));
  geometry::PointTree(particles.data(), count).nearest(queries.data(), points, distance.data(), nearest.data());
  std::vector<T> adj(static_cast<std::size_t>(3 * points));
  const T weight = T(1) / static_cast<T>(points);
  *value = sum_terms<kChunk>(points, ProximityTerm<T>{x, y, nearest.data(), T(1) / spacing, reach, weight, adj.data()});
  std::fill(adj_x, adj_x + 3 * count, T(0));
  SparsePoll sparse_poll;
  for (std::int64_t k = 0; k < points; ++k, sparse_poll())
    for (int a = 0; a < 3; ++a) adj_x[3 * std::int64_t{nearest[k]} + a] += adj[3 * k + a];
}

template <class T>
void skin_loss(const Context&, std::int64_t count, const T* x, const FieldGrid<T>& distance, T spacing, T* adj_x,
               double* value) {
  *value = sum_terms<kChunk>(count, SkinTerm<T>{distance, x, T(1) / spacing, T(1) / static_cast<T>(count), adj_x});
}

}  // namespace

template <class T>
const LossFunctions<T>& LossFunctions<T>::host() {
  static constexpr LossFunctions kTable{grid_mass_loss<T>, kinetic_loss<T>,   proximity_loss<T>,
                                        skin_loss<T>,      transport_loss<T>, transport_self_loss<T>};
  return kTable;
}

template const LossFunctions<float>& LossFunctions<float>::host();
template const LossFunctions<double>& LossFunctions<double>::host();

}  // namespace diffmpm
