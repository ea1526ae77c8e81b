// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "diffmpm/core/memory.hpp"
#include "diffmpm/mpm/params.hpp"

// A run of the simulation that remembers what its adjoint needs; several threads may use one. Arrays are row-major,
// (N, 3) or (N, 3, 3), in the caller's order; particles are reordered inside.

namespace diffmpm {

enum class Cause : int { left_grid = 0, not_finite = 1, inverted = 2, degenerate = 3 };
inline constexpr const char* kCauseNames[] = {"left_grid", "not_finite", "inverted", "degenerate"};

// A state that the method cannot continue from.
class StepError : public std::runtime_error {
 public:
  StepError(Cause cause, std::int64_t particle, std::int64_t step, bool initial = false);  // initial: as it was passed
  Cause cause;
  std::int64_t particle, step;
};

template <class T>
struct RolloutInput {
  std::int64_t count = 0;
  const T *x = nullptr, *v = nullptr, *C = nullptr, *F = nullptr;
  const T* Fp = nullptr;  // null: identity
  const T *mass = nullptr, *volume = nullptr, *lam = nullptr, *mu = nullptr;
  const T* control = nullptr;  // (layers, N, 3, 3); layer l acts at step l * control_stride
  std::int64_t control_layers = 0, control_stride = 1;
  std::int64_t steps = 0;
  bool motion_gradient = false;  // carry G, starting from the identity
  bool differentiable = true;
  std::size_t memory_budget = 0;  // bytes for the trajectory; 0 means default_memory_budget()
};

// Cotangents of one layer's state; null means zero.
template <class T>
struct StateAdjoint {
  std::int64_t layer = 0;
  const T *x = nullptr, *v = nullptr, *C = nullptr, *F = nullptr, *G = nullptr;
};

// Where gradients go; null means not wanted. All are overwritten.
template <class T>
struct RolloutGradients {
  T *x = nullptr, *v = nullptr, *C = nullptr, *F = nullptr, *G = nullptr;
  T* control = nullptr;
  T *Fp = nullptr, *mass = nullptr, *volume = nullptr, *lam = nullptr, *mu = nullptr;
  double gravity[3] = {0, 0, 0};
  double drag = 0;
};

// What a rollout is on some backend; the members are those of Rollout.
template <class T>
class AnyTrajectory {
 public:
  virtual ~AnyTrajectory() = default;
  virtual const RolloutInput<T>& input() const = 0;
  virtual std::int64_t stored_layers() const = 0;
  virtual void state(std::int64_t layer, T* x, T* v, T* C, T* F, T* G) = 0;
  virtual void vjp(const std::vector<StateAdjoint<T>>& adjoints, RolloutGradients<T>& out) = 0;
};

template <class T>
class Rollout {
 public:
  // Runs forward at once, on the CPU. Copies the inputs it needs later; throws StepError.
  Rollout(const MpmParams& params, const RolloutInput<T>& input);
  explicit Rollout(std::unique_ptr<AnyTrajectory<T>> trajectory) : trajectory_(std::move(trajectory)) {}

  std::int64_t count() const { return trajectory_->input().count; }
  std::int64_t steps() const { return trajectory_->input().steps; }
  bool motion_gradient() const { return trajectory_->input().motion_gradient; }
  bool differentiable() const { return trajectory_->input().differentiable; }
  bool has_rest_state() const { return trajectory_->input().Fp != nullptr; }
  std::int64_t control_layers() const { return trajectory_->input().control ? trajectory_->input().control_layers : 0; }
  std::int64_t stored_layers() const { return trajectory_->stored_layers(); }  // kept in memory, of steps() + 1

  // Copy layer n's arrays to the pointers that are not null; recomputes what was not kept.
  void state(std::int64_t layer, T* x, T* v, T* C, T* F, T* G) { trajectory_->state(layer, x, v, C, F, G); }

  // Exact reverse mode from cotangents at any layers.
  void vjp(const std::vector<StateAdjoint<T>>& adjoints, RolloutGradients<T>& out) { trajectory_->vjp(adjoints, out); }

 private:
  std::unique_ptr<AnyTrajectory<T>> trajectory_;
};

// Mass on the grid at positions x (N, 3): dense (dims), C order, written whole. Throws StepError (left_grid).
template <class T>
void grid_mass(const MpmParams& params, std::int64_t count, const T* x, const T* mass, T* out);

// Its adjoint: adj_x (N, 3) and adj_mass (N) are overwritten.
template <class T>
void grid_mass_vjp(const MpmParams& params, std::int64_t count, const T* x, const T* mass, const T* adj_out, T* adj_x,
                   T* adj_mass);

// The same on the current CUDA device: every array is memory of the device, and the work is put on `stream`, a
// cudaStream_t (null: the default stream), which lives as long as the rollout. Throws DeviceError, also in builds without CUDA.
namespace cuda {

template <class T>
Rollout<T> rollout(const MpmParams& params, const RolloutInput<T>& input, void* stream);

template <class T>
void grid_mass(const MpmParams& params, std::int64_t count, const T* x, const T* mass, T* out, void* stream);

template <class T>
void grid_mass_vjp(const MpmParams& params, std::int64_t count, const T* x, const T* mass, const T* adj_out, T* adj_x,
                   T* adj_mass, void* stream);

}  // namespace cuda

}  // namespace diffmpm
