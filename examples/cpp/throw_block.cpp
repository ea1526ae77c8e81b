// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Throws an elastic block so that its centre moves to a goal: gradient descent on the uniform initial velocity with the exact
// adjoint of the simulation. Returns 0 if the gradient agrees with central differences and the block reaches the goal.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

#include <diffmpm/backend.hpp>
#include <diffmpm/core/dispatch.hpp>
#include <diffmpm/core/threads.hpp>

namespace {

constexpr std::int64_t kSide = 10, kCount = kSide * kSide * kSide, kSteps = 50;
constexpr double kSpacing = 0.05;                // between particles [m]; the block is 0.5 m wide
constexpr double kGoal[3] = {0.15, -0.05, 0.1};  // displacement of the centre [m]

// Row-major input arrays: x and v (N, 3), C and F (N, 3, 3), particle properties (N).
struct Block {
  std::vector<double> x, v, C, F, mass, volume, lam, mu;

  Block() : v(3 * kCount), C(9 * kCount), F(9 * kCount) {
    const double volume_each = kSpacing * kSpacing * kSpacing;
    mass.assign(kCount, 1000 * volume_each);  // water [kg]
    volume.assign(kCount, volume_each);
    lam.assign(kCount, 1e4), mu.assign(kCount, 1e4);
    for (std::int64_t p = 0; p < kCount; ++p) {
      const std::int64_t cell[3] = {p / (kSide * kSide), p / kSide % kSide, p % kSide};
      for (int r = 0; r < 3; ++r) {
        x.push_back((static_cast<double>(cell[r]) + 0.5) * kSpacing - 0.25);
        F[static_cast<std::size_t>(9 * p + 4 * r)] = 1;  // undeformed
      }
    }
  }
};

diffmpm::MpmParams options() {
  diffmpm::MpmParams params;
  params.dx = 0.1, params.dt = 2e-3;
  params.gravity[2] = -9.81;
  for (int r = 0; r < 3; ++r) params.origin[r] = -1.6, params.dims[r] = 33;
  return params;
}

// Half the squared distance of the centre from the goal, and its derivative with respect to the initial velocity.
double loss(Block& block, const double velocity[3], double* gradient) {
  for (std::size_t n = 0; n < block.v.size(); ++n) block.v[n] = velocity[n % 3];
  diffmpm::RolloutInput<double> in;
  in.count = kCount, in.steps = kSteps, in.differentiable = gradient != nullptr;
  in.x = block.x.data(), in.v = block.v.data(), in.C = block.C.data(), in.F = block.F.data();
  in.mass = block.mass.data(), in.volume = block.volume.data(), in.lam = block.lam.data(), in.mu = block.mu.data();
  const auto roll = diffmpm::backend<double>({}).mpm.rollout({}, options(), in);  // {}: on the CPU

  std::vector<double> x(3 * kCount), adj_x(3 * kCount), adj_v(3 * kCount);
  roll->state(kSteps, x.data(), nullptr, nullptr, nullptr, nullptr);
  double error[3] = {-kGoal[0], -kGoal[1], -kGoal[2]};
  for (std::size_t n = 0; n < x.size(); ++n) error[n % 3] += (x[n] - block.x[n]) / kCount;
  if (gradient != nullptr) {
    for (std::size_t n = 0; n < x.size(); ++n) adj_x[n] = error[n % 3] / kCount;
    diffmpm::StateAdjoint<double> end;
    end.layer = kSteps, end.x = adj_x.data();
    diffmpm::RolloutGradients<double> out;
    out.v = adj_v.data();
    roll->vjp({end}, out);
    for (int r = 0; r < 3; ++r) gradient[r] = 0;
    for (std::size_t n = 0; n < adj_v.size(); ++n) gradient[n % 3] += adj_v[n];
  }
  return 0.5 * (error[0] * error[0] + error[1] * error[1] + error[2] * error[2]);
}

}  // namespace

int main() {
  std::printf("instruction set %s, %d threads\n", diffmpm::instruction_set(), diffmpm::thread_count());
  Block block;
  double velocity[3] = {0.2, 0.1, 0.3}, gradient[3];
  double value = loss(block, velocity, gradient);
  double worst = 0;
  for (int r = 0; r < 3; ++r) {
    const double step = 1e-5, middle = velocity[r];
    velocity[r] = middle + step;
    const double above = loss(block, velocity, nullptr);
    velocity[r] = middle - step;
    const double difference = (above - loss(block, velocity, nullptr)) / (2 * step);
    velocity[r] = middle;
    std::printf("d loss / d v[%d]: adjoint %.10f, central difference %.10f\n", r, gradient[r], difference);
    worst = std::fmax(worst, std::fabs(gradient[r] / difference - 1));
  }
  // A free block moves on a parabola, so the loss is quadratic in the velocity, with curvature (time of flight)^2.
  const double flight = kSteps * options().dt;
  for (int n = 0; n < 2; ++n) {
    for (int r = 0; r < 3; ++r) velocity[r] -= gradient[r] / (flight * flight);
    value = loss(block, velocity, gradient);
    std::printf("step %d: loss %.3e, velocity %.4f %.4f %.4f\n", n + 1, value, velocity[0], velocity[1], velocity[2]);
  }
  const bool good = worst < 1e-6 && value < 1e-12;
  std::printf("%s\n", good ? "the gradient is exact and the goal is reached" : "FAILED");
  return good ? 0 : 1;
}
