// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <algorithm>

#include "diffmpm/mpm/rollout.hpp"
#include "groups.hpp"
#include "kernels.hpp"

// Mass on the grid, the first half of (4), and its adjoint, for losses on any positions.

namespace diffmpm {
namespace {

template <class T>
struct MassTransfer {
  const Kernels<T>& table = isa_table<Kernels<T>>();
  Layout layout;
  Buffer<T> x, constants, tiles, grid;
  Buffer<std::uint8_t> flags;
  StepArgs<T> args;

  MassTransfer(const MpmParams& params, std::int64_t count, const T* positions, const T* mass) {
    const std::int64_t outside = find_outside(params, positions, count);
    if (outside >= 0) throw StepError(Cause::left_grid, outside, 0);
    layout = make_layout(params, positions, count);
    const auto groups = static_cast<std::size_t>(layout.group_count());
    x = Buffer<T>(groups * 3 * kLanes);
    constants = Buffer<T>(groups * kConstComponents * kLanes);
    tiles = Buffer<T>(layout.blocks.size() * static_cast<std::size_t>(table.tile_size(params.basis)));
    grid = Buffer<T>(layout.grid.size() * kBlockNodes * 4);
    flags = Buffer<std::uint8_t>(layout.blocks.size());
    to_groups(layout, positions, 3, x.data(), 3, kX, false);
    to_groups(layout, mass, 1, constants.data(), kConstComponents, kMass, true);
    args.params = &params;
    args.layout = &layout;
    args.state_components = 3;
    args.mass_only = true;
    args.state = x.data(), args.constants = constants.data();
    args.tiles = tiles.data(), args.flags = flags.data();
    args.threads = std::clamp(static_cast<int>(layout.blocks.size()) / 2, 1, thread_count());
  }

  // Run body(dense index, index in `grid`) over the nodes of active blocks that exist.
  template <class Body>
  void for_nodes(const Body& body) const {
    const Index* dims = args.params->dims;
    for (std::size_t b = 0; b < layout.grid.size(); ++b)
      for (int n = 0; n < kBlockNodes; ++n) {
        const Index i = kBlockEdge * layout.grid[b].coord[0] + n / 16;
        const Index j = kBlockEdge * layout.grid[b].coord[1] + n / 4 % 4;
        const Index k = kBlockEdge * layout.grid[b].coord[2] + n % 4;
        if (i < 0 || j < 0 || k < 0 || i >= dims[0] || j >= dims[1] || k >= dims[2]) continue;
        body((std::int64_t{i} * dims[1] + j) * dims[2] + k, b * kBlockNodes * 4 + static_cast<std::size_t>(n) * 4);
      }
  }
};

}  // namespace

template <class T>
void grid_mass(const MpmParams& params, std::int64_t count, const T* x, const T* mass, T* out) {
  MassTransfer<T> m(params, count, x, mass);
  m.args.grid_mq = m.grid.data();
  m.table.particles_to_tiles(m.args);
  m.table.tiles_to_grid(m.args);
  std::fill(out, out + std::int64_t{params.dims[0]} * params.dims[1] * params.dims[2], T(0));
  m.for_nodes([&](std::int64_t node, std::size_t at) { out[node] = m.grid.data()[at]; });
}

template <class T>
void grid_mass_vjp(const MpmParams& params, std::int64_t count, const T* x, const T* mass, const T* adj_out, T* adj_x,
                   T* adj_mass) {
  MassTransfer<T> m(params, count, x, mass);
  std::fill(m.grid.data(), m.grid.data() + m.grid.size(), T(0));
  m.for_nodes([&](std::int64_t node, std::size_t at) { m.grid.data()[at] = adj_out[node]; });
  Buffer<T> adj(m.x.size()), adj_constants(m.constants.size());
  std::fill(adj.data(), adj.data() + adj.size(), T(0));
  std::fill(adj_constants.data(), adj_constants.data() + adj_constants.size(), T(0));
  m.args.grid_v = m.grid.data();
  m.args.adj = adj.data(), m.args.adj_constants = adj_constants.data();
  m.table.particles_to_tiles_vjp(m.args);
  from_groups(m.layout, adj.data(), 3, kX, 3, adj_x);
  from_groups(m.layout, adj_constants.data(), kConstComponents, kMass, 1, adj_mass);
}

template void grid_mass<float>(const MpmParams&, std::int64_t, const float*, const float*, float*);
template void grid_mass<double>(const MpmParams&, std::int64_t, const double*, const double*, double*);
template void grid_mass_vjp<float>(const MpmParams&, std::int64_t, const float*, const float*, const float*, float*,
                                   float*);
template void grid_mass_vjp<double>(const MpmParams&, std::int64_t, const double*, const double*, const double*,
                                    double*, double*);

}  // namespace diffmpm
