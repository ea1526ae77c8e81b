// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

#include "diffmpm/core/context.hpp"
#include "diffmpm/mpm/params.hpp"

// Rollouts of the simulation with their adjoint, and mass on the grid. Arrays are row-major, (N, 3) or (N, 3, 3), in the order of
// the caller. Layer n of a rollout is the state before step n; the last one is the end.

namespace diffmpm {

enum class Cause : int { left_grid = 0, not_finite = 1, inverted = 2, degenerate = 3 };
inline constexpr const char* kCauseNames[] = {"left_grid", "not_finite", "inverted", "degenerate"};

// The state of a particle does not allow the next step, or has no derivative.
class StepError : public std::runtime_error {
 public:
  // `initial`: the state passed by the caller.
  StepError(Cause cause, std::int64_t particle, std::int64_t step, bool initial = false);
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
  std::int64_t control_steps = 0, control_stride = 1;
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

// Results of the adjoint: arrays that are not null are overwritten.
template <class T>
struct RolloutGradients {
  T *x = nullptr, *v = nullptr, *C = nullptr, *F = nullptr, *G = nullptr;
  T* control = nullptr;
  T *Fp = nullptr, *mass = nullptr, *volume = nullptr, *lam = nullptr, *mu = nullptr;
  double gravity[3] = {0, 0, 0};
  double drag = 0;
};

// A simulation that has run, and its adjoint. Several threads may use one.
template <class T>
class Rollout {
 public:
  virtual ~Rollout() = default;
  virtual const RolloutInput<T>& input() const = 0;
  virtual std::int64_t stored_layers() const = 0;  // states in memory, of steps() + 1
  // Copies the state before step n to the pointers that are not null. Recomputes states that are not stored.
  virtual void state(std::int64_t layer, T* x, T* v, T* C, T* F, T* G) = 0;
  // Exact reverse mode from cotangents of any states.
  virtual void vjp(const std::vector<StateAdjoint<T>>& adjoints, RolloutGradients<T>& out) = 0;

  std::int64_t count() const { return input().count; }
  std::int64_t steps() const { return input().steps; }
  bool motion_gradient() const { return input().motion_gradient; }
  bool differentiable() const { return input().differentiable; }
  bool has_rest_state() const { return input().Fp != nullptr; }
  std::int64_t control_steps() const { return input().control ? input().control_steps : 0; }
};

// Copies the states before several steps, each stacked at the pointers: x (K, N, 3), ..., G (K, N, 3, 3) or null.
template <class T>
void copy_states(Rollout<T>& roll, const std::vector<std::int64_t>& layers, T* x, T* v, T* C, T* F, T* G) {
  const auto at = [&](T* first, std::size_t k, std::int64_t width) {
    return first ? first + static_cast<std::int64_t>(k) * roll.count() * width : nullptr;
  };
  for (std::size_t k = 0; k < layers.size(); ++k)
    roll.state(layers[k], at(x, k, 3), at(v, k, 3), at(C, k, 9), at(F, k, 9), at(G, k, 9));
}

template <class T>
struct MpmFunctions {
  // Runs all steps and copies the inputs that the adjoint reads. On a device the stream must outlive the rollout. Throws StepError.
  std::unique_ptr<Rollout<T>> (*rollout)(const Context&, const MpmParams& params, const RolloutInput<T>& input);
  // Mass on the grid at positions x (N, 3): dense (dims), C order, written whole. Throws StepError (left_grid).
  void (*grid_mass)(const Context&, const MpmParams& params, std::int64_t count, const T* x, const T* mass, T* out);
  // Its adjoint: adj_x (N, 3) and adj_mass (N) are overwritten.
  void (*grid_mass_vjp)(const Context&, const MpmParams& params, std::int64_t count, const T* x, const T* mass,
                        const T* adj_out, T* adj_x, T* adj_mass);

  static const MpmFunctions& host();
  static const MpmFunctions& cuda();
};

}  // namespace diffmpm
