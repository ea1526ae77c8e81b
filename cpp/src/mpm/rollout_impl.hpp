// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <mutex>
#include <vector>

#include "diffmpm/math/mat3.hpp"
#include "diffmpm/mpm/rollout.hpp"
#include "groups.hpp"
#include "kernels.hpp"

// The trajectory behind `Rollout`. Layers 0..steps; step n takes layer n to n + 1. An epoch is a run of steps that share one
// order of the particles; layer n is stored in the order of step n.

namespace diffmpm {

template <class T>
struct Rollout<T>::Impl {
  struct Step {
    Buffer<T> state;  // layer n, empty where it is not kept
    Buffer<T> grid;   // mass and momentum of step n, likewise
    int epoch = 0;
  };

  MpmParams params;
  RolloutInput<T> in;  // pointers into `copies`
  std::vector<Buffer<T>> copies;
  const Kernels<T>& table;
  int components, const_components;
  std::vector<Layout> epochs;
  std::vector<Step> layers;  // steps + 1
  std::vector<std::int64_t> lane_of;
  Buffer<T> constants, tiles, grid_v, sorted, scratch_grid, scratch[2];
  Buffer<std::uint8_t> flags;
  int constants_epoch = -1;
  std::size_t budget;
  std::int64_t done = 0;     // steps that have run once: their epochs are known
  std::int64_t cached = -1;  // layer that `cached_state` holds, or -1
  Buffer<T> cached_state;
  std::mutex busy;  // recomputing and reversing use the work space above: one caller at a time

  Impl(const MpmParams& p, const RolloutInput<T>& input);

  // forward (rollout.cpp)
  void keep_inputs();
  void first_layer();
  void run();
  std::size_t state_size(int epoch) const;
  std::size_t grid_size(int epoch) const;
  void prepare(int epoch);
  StepArgs<T> args(std::int64_t step);
  const T* control_at(std::int64_t step) const;
  bool forward_step(std::int64_t step, const T* state, T* next, T* grid);
  void choose_epoch(std::int64_t step, const T* next, bool unsorted);
  void advance(std::int64_t step, const Buffer<T>& state, Buffer<T>& next, Buffer<T>& grid);
  Buffer<T> layer_state(std::int64_t layer);
  std::int64_t capacity() const;
  bool momentum_finite(std::int64_t particle, const T* lane, const Mat3<T>& F) const;
  [[noreturn]] void report(std::int64_t step, const T* state, const T* next);

  // adjoint (rollout_vjp.cpp)
  struct Reverse {
    const std::vector<StateAdjoint<T>>& adjoints;
    RolloutGradients<T>& out;
    int epoch;                          // whose order the groups below are in
    Buffer<T> adj, adj_constants;       // groups
    Buffer<T> next, spare;              // work space where the order changes
    std::vector<double> gravity, drag;  // partial sums of one step
  };
  void reverse(std::int64_t begin, std::int64_t end, std::int64_t slots, Reverse& r);
  void reverse_stored(std::int64_t begin, std::int64_t end, Reverse& r);
  void reverse_step(std::int64_t step, Reverse& r);
  const T* enter_epoch(std::int64_t step, Reverse& r);
  void add_cotangents(std::int64_t layer, Reverse& r);
  void finish(Reverse& r);
  [[noreturn]] void report_degenerate(std::int64_t step);
};

}  // namespace diffmpm
