// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/losses/losses.hpp"

#include <algorithm>
#include <vector>

#include "diffmpm/core/host_queue.hpp"
#include "diffmpm/geometry/point_tree.hpp"
#include "diffmpm/losses/grid_mass.hpp"
#include "diffmpm/losses/proximity.hpp"
#include "diffmpm/losses/skin.hpp"
#include "transport_host.hpp"

namespace diffmpm {
namespace {

template <class T>
void proximity_loss(const Context&, std::int64_t count, const T* x, std::int64_t points, const T* y, T spacing, T reach,
                    T* adj_x, double* value) {
  const std::vector<double> particles(x, x + 3 * count), queries(y, y + 3 * points);
  std::vector<double> distance(static_cast<std::size_t>(points));
  std::vector<std::int32_t> nearest(static_cast<std::size_t>(points));
  geometry::PointTree(particles.data(), count).nearest(queries.data(), points, distance.data(), nearest.data());
  std::vector<T> adj(static_cast<std::size_t>(3 * points));
  const T weight = T(1) / static_cast<T>(points);
  *value = sum_terms(points, ProximityTerm<T>{x, y, nearest.data(), T(1) / spacing, reach, weight, adj.data()});
  std::fill(adj_x, adj_x + 3 * count, T(0));
  SparsePoll sparse_poll;
  for (std::int64_t k = 0; k < points; ++k, sparse_poll())
    for (int a = 0; a < 3; ++a) adj_x[3 * std::int64_t{nearest[k]} + a] += adj[3 * k + a];
}

}  // namespace

template <class T>
const LossFunctions<T>& LossFunctions<T>::host() {
  static constexpr LossFunctions kTable{OnQueue<&grid_mass_loss_on<T, HostQueue>>::call,
                                        OnQueue<&kinetic_loss_on<T, HostQueue>>::call, proximity_loss<T>,
                                        OnQueue<&skin_loss_on<T, HostQueue>>::call, transport_loss<T>};
  return kTable;
}

template const LossFunctions<float>& LossFunctions<float>::host();
template const LossFunctions<double>& LossFunctions<double>::host();

}  // namespace diffmpm
