// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "diffmpm/core/memory.hpp"
#include "diffmpm/mpm/blocks.hpp"
#include "diffmpm/mpm/rollout.hpp"
#include "diffmpm/mpm/trajectory.hpp"

// Mass on the grid, the first half of (4), and its adjoint, on any backend; and the table of a backend.

DIFFMPM_BEGIN_ISA

// Copies between the mass channel of the sparse grid and a dense array. One item per node; nodes outside of the grid are skipped.
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

DIFFMPM_END_ISA

namespace diffmpm {

template <class Backend>
class MassTransfer {
  using T = typename Backend::Scalar;

 public:
  MassTransfer(const MpmParams& params, std::int64_t count, const T* x, const T* mass, Backend&& backend)
      : params_(params), backend_(std::move(backend)) {
    const std::int64_t outside = backend_.find_outside(x, count);
    if (outside >= 0) throw StepError(Cause::left_grid, outside, 0);
    layout_ = backend_.make_layout(x, count);
    const auto lanes = static_cast<std::size_t>(layout_.group_count() * kLanes);
    backend_.reserve(x_, lanes * 3);
    backend_.reserve(properties_, lanes * kPropertyComponents);
    backend_.reserve(grid_, layout_.grid_count() * kGridBlockSize);
    backend_.to_groups(layout_, x, 3, x_.data(), 3, kX, false);
    backend_.to_groups(layout_, mass, 1, properties_.data(), kPropertyComponents, kMass, true);
    args_ = backend_.args(layout_);
    args_.state_components = 3, args_.mass_only = true;
    args_.state = x_.data(), args_.properties = properties_.data();
  }
  MassTransfer(const MassTransfer&) = delete;  // `args_` has pointers to the members
  MassTransfer& operator=(const MassTransfer&) = delete;

  void forward(T* out) {
    args_.grid_mq = grid_.data(), args_.grid_v = nullptr;
    backend_.clear(out, std::int64_t{params_.dims[0]} * params_.dims[1] * params_.dims[2]);
    backend_.scatter_mass(args_);
    move<true>(out, nullptr);
  }

  void vjp(const T* adj_out, T* adj_x, T* adj_mass) {
    Buffer<T> adj, adj_properties;
    backend_.reserve(adj, x_.size()), backend_.reserve(adj_properties, properties_.size());
    for (const Buffer<T>& buffer : {adj, adj_properties, grid_})
      backend_.clear(buffer.data(), static_cast<std::int64_t>(buffer.size()));
    move<false>(nullptr, adj_out);
    args_.grid_v = grid_.data(), args_.adj = adj.data(), args_.adj_properties = adj_properties.data();
    backend_.scatter_mass_vjp(args_);
    backend_.from_groups(layout_, adj.data(), 3, kX, 3, adj_x);
    backend_.from_groups(layout_, adj_properties.data(), kPropertyComponents, kMass, 1, adj_mass);
  }

 private:
  template <bool kToDense>
  void move(T* out, const T* in) {
    backend_.for_all(MoveMass<T, kToDense>{layout_.grid_count() * kBlockNodes,
                                           {params_.dims[0], params_.dims[1], params_.dims[2]},
                                           backend_.grid_blocks(layout_),
                                           grid_.data(),
                                           out,
                                           in});
  }

  MpmParams params_;
  Backend backend_;
  typename Backend::Layout layout_;
  Buffer<T> x_, properties_, grid_;
  typename Backend::Args args_{};
};

// The functions of a backend.
template <class Backend, class T = typename Backend::Scalar>
constexpr MpmFunctions<T> mpm_functions() {
  using Queue = typename Backend::Queue;
  return {
      [](const Context& context, const MpmParams& params, const RolloutInput<T>& input) {
        return std::unique_ptr<Rollout<T>>(new Trajectory<Backend>(params, input, Backend(params, Queue(context))));
      },
      [](const Context& context, const MpmParams& params, std::int64_t count, const T* x, const T* mass, T* out) {
        MassTransfer<Backend>(params, count, x, mass, Backend(params, Queue(context))).forward(out);
      },
      [](const Context& context, const MpmParams& params, std::int64_t count, const T* x, const T* mass,
         const T* adj_out, T* adj_x, T* adj_mass) {
        MassTransfer<Backend>(params, count, x, mass, Backend(params, Queue(context))).vjp(adj_out, adj_x, adj_mass);
      }};
}

}  // namespace diffmpm
