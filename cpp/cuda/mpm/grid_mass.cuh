// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/mpm/rollout.hpp"
#include "mpm/backend.cuh"

// Mass on the grid and its adjoint, as cpp/src/mpm/grid_mass.cpp has them.

namespace diffmpm::cuda {

// Between the sparse grid's mass channel and a dense array: one item a node, those that do not exist are left out.
template <class T, bool kToDense>
struct MoveMass {
  std::int64_t count;  // nodes of the sparse grid
  Index dims[3];
  const GridBlock* grid;
  T* nodes;     // (grid block, 64, 4)
  T* out;       // dense, written
  const T* in;  // dense, read

  DIFFMPM_HD void operator()(std::int64_t n) const {
    const NodeIndex node(grid[n / kBlockNodes], static_cast<int>(n % kBlockNodes));
    for (int r = 0; r < 3; ++r)
      if (node.at[r] < 0 || node.at[r] >= dims[r]) return;
    const std::int64_t at = (std::int64_t{node.at[0]} * dims[1] + node.at[1]) * dims[2] + node.at[2];
    if (kToDense) {
      out[at] = nodes[n * kNodeChannels];
    } else {
      nodes[n * kNodeChannels] = in[at];
    }
  }
};

template <class T, class Queue>
class MassTransfer {
 public:
  MassTransfer(const MpmParams& params, std::int64_t count, const T* x, const T* mass, Queue queue)
      : params_(params), queue_(queue), backend_(params, queue) {
    const std::int64_t outside = backend_.find_outside(x, count);
    if (outside >= 0) throw StepError(Cause::left_grid, outside, 0);
    layout_ = backend_.make_layout(x, count);
    const std::int64_t lanes = layout_.group_count() * kLanes;
    x_ = queue_.template allocate<T>(lanes * 3);
    constants_ = queue_.template allocate<T>(lanes * kConstComponents);
    grid_ = queue_.template allocate<T>(layout_.grid_count() * kGridBlockSize);
    backend_.to_groups(layout_, x, 3, x_.data(), 3, kX, false);
    backend_.to_groups(layout_, mass, 1, constants_.data(), kConstComponents, kMass, true);
    args_ = backend_.with_flags(backend_.args(layout_), 0);
    args_.state_components = 3, args_.mass_only = true;
    args_.state = x_.data(), args_.constants = constants_.data();
  }

  void forward(T* out) {
    args_.grid_mq = grid_.data(), args_.grid_v = nullptr;
    queue_.clear(out, std::int64_t{params_.dims[0]} * params_.dims[1] * params_.dims[2]);
    backend_.template launch<ParticlesToTiles>(layout_.view.chunk_count, args_);
    backend_.template launch<TilesToGrid>(backend_.grid_pairs(args_), args_);
    move<true>(out, nullptr);
  }

  void vjp(const T* adj_out, T* adj_x, T* adj_mass) {
    const auto adj = queue_.template allocate<T>(static_cast<std::int64_t>(x_.size()));
    const auto adj_constants = queue_.template allocate<T>(static_cast<std::int64_t>(constants_.size()));
    queue_.clear(adj.data(), static_cast<std::int64_t>(adj.size()));
    queue_.clear(adj_constants.data(), static_cast<std::int64_t>(adj_constants.size()));
    queue_.clear(grid_.data(), static_cast<std::int64_t>(grid_.size()));
    move<false>(nullptr, adj_out);
    args_.grid_v = grid_.data(), args_.adj = adj.data(), args_.adj_constants = adj_constants.data();
    backend_.template launch<ParticlesToTilesVjp>(layout_.view.chunk_count, args_);
    backend_.from_groups(layout_, adj.data(), 3, kX, 3, adj_x);
    backend_.from_groups(layout_, adj_constants.data(), kConstComponents, kMass, 1, adj_mass);
  }

 private:
  template <bool kToDense>
  void move(T* out, const T* in) {
    queue_.for_all(MoveMass<T, kToDense>{layout_.grid_count() * kBlockNodes,
                                         {params_.dims[0], params_.dims[1], params_.dims[2]},
                                         layout_.view.grid,
                                         grid_.data(),
                                         out,
                                         in});
  }

  MpmParams params_;
  Queue queue_;
  DeviceBackend<T, Queue> backend_;
  DeviceLayout layout_;
  Buffer<T> x_, constants_, grid_;
  StepView<T> args_{};
};

}  // namespace diffmpm::cuda
