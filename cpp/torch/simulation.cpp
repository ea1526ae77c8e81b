// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// The CPU kernels of torch.ops.diffmpm.*, on LibTorch's stable ABI: one binary for every PyTorch from 2.11 on. Schemas, fake
// kernels and autograd stand in python/diffmpm/torch/_operators.py, which loads this library and calls
// diffmpm_use_table first. Nothing here computes: the core behind the table does. This file: simulation and losses.
#include <limits>

#include "tensors.hpp"

#if defined(_WIN32)
#define DIFFMPM_EXPORT extern "C" __declspec(dllexport)
#else
#define DIFFMPM_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace diffmpm::torch_ops {
const Table* table = nullptr;
}  // namespace diffmpm::torch_ops

namespace {

using namespace diffmpm;
using namespace diffmpm::torch_ops;

constexpr std::int64_t kMostSteps = std::int64_t{1} << 53;  // as in python/diffmpm/torch/_checks.py
constexpr std::int64_t kGradients = 12;                     // inputs of a rollout that have one

MpmParams unpack(const Shape& whole, const std::vector<double>& real) {
  Failure failure;
  const MpmParams params = table->unpack(whole, real, failure);
  check(failure);
  return params;
}

// Gravity and drag are at the places 9 to 12 of the numbers of a configuration; tensors replace them.
template <class T>
MpmParams parameters(const Shape& whole, std::vector<double> real, const Input<T>& gravity, const Input<T>& drag) {
  if (real.size() > 12) {
    for (std::size_t r = 0; gravity.data() && r < 3; ++r) real[9 + r] = static_cast<double>(gravity.data()[r]);
    if (drag.data()) real[12] = static_cast<double>(drag.data()[0]);
  }
  return unpack(whole, real);
}

void check_layers(const Shape& layers, std::int64_t steps) {
  for (const std::int64_t layer : layers) check_range(layer, "layers", 0, steps);
}

using RolloutResult = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

RolloutResult op_rollout(Tensor x, Tensor v, Tensor C, Tensor F, MaybeTensor Fp, MaybeTensor control, Tensor mass,
                         Tensor volume, Tensor lam, Tensor mu, MaybeTensor gravity, MaybeTensor drag, Shape whole,
                         std::vector<double> real, std::int64_t steps, std::int64_t stride, Shape layers,
                         bool motion_gradient, bool differentiable, std::int64_t memory_budget) {
  return dispatch(x, "x", [&]<class T>() -> RolloutResult {
    const Input<T> x_in(x, "x", {kAny, 3});
    const std::int64_t n = x.size(0);
    const Input<T> v_in(v, "v", {n, 3}), C_in(C, "C", {n, 3, 3}), F_in(F, "F", {n, 3, 3}), Fp_in(Fp, "Fp", {n, 3, 3});
    const Input<T> control_in(control, "control", {kAny, n, 3, 3}), mass_in(mass, "mass", {n});
    const Input<T> volume_in(volume, "volume", {n}), lam_in(lam, "lam", {n}), mu_in(mu, "mu", {n});
    const Input<T> gravity_in(gravity, "gravity", {3}), drag_in(drag, "drag", {});
    if (n == 0) refuse("x: expected at least one particle, got shape (0, 3)");
    const MpmParams params = parameters(whole, real, gravity_in, drag_in);
    check_range(steps, "steps", 0, kMostSteps), check_integer(stride, "stride", 1), check_layers(layers, steps);
    check_integer(memory_budget, "memory_budget", 0);
    const std::int64_t most = steps > 0 ? (steps - 1) / stride + 1 : 0;
    if (control && control_in.size(0) > most)
      refuse("control: expected at most " + std::to_string(most) + " layers (" + std::to_string(steps) +
             " steps, stride " + std::to_string(stride) + "), got " + std::to_string(control_in.size(0)));
    RolloutInput<T> in;
    in.count = n, in.steps = steps, in.control_stride = stride;
    in.x = x_in.data(), in.v = v_in.data(), in.C = C_in.data(), in.F = F_in.data(), in.Fp = Fp_in.data();
    in.mass = mass_in.data(), in.volume = volume_in.data(), in.lam = lam_in.data(), in.mu = mu_in.data();
    in.control = control_in.data(), in.control_layers = control ? control_in.size(0) : 0;
    in.motion_gradient = motion_gradient, in.differentiable = differentiable;
    in.memory_budget = static_cast<std::size_t>(memory_budget);
    const CoreTable<T>& functions = core<T>(*table);
    Failure failure;
    const auto roll = functions.run(params, in, failure);
    check(failure);
    Shape vector{in.count, 3}, matrix{in.count, 3, 3};
    if (layers.empty()) {  // the end alone, without an axis of layers
      layers = {steps};
    } else {
      const auto k = static_cast<std::int64_t>(layers.size());
      vector.insert(vector.begin(), k), matrix.insert(matrix.begin(), k);
    }
    Tensor x_out = empty(x, vector), v_out = empty(x, vector), C_out = empty(x, matrix), F_out = empty(x, matrix);
    Tensor G_out = motion_gradient ? empty(x, matrix) : empty(x, {0});
    functions.states(*roll, layers, data<T>(x_out), data<T>(v_out), data<T>(C_out), data<T>(F_out), data<T>(G_out),
                     failure);
    check(failure);
    return {x_out, v_out, C_out,
            F_out, G_out, own(differentiable ? roll : std::shared_ptr<Rollout<T>>(), steps, in.count)};
  });
}

// Gradients in the order of the bits of `wrt`; see GRADIENTS in _operators.py.
std::vector<Tensor> op_rollout_vjp(Tensor trajectory, MaybeTensor adj_x, MaybeTensor adj_v, MaybeTensor adj_C,
                                   MaybeTensor adj_F, MaybeTensor adj_G, Shape layers, std::int64_t wrt,
                                   std::int64_t control_layers) {
  const MaybeTensor* given = nullptr;
  const char* of = nullptr;
  for (const auto& [adj, name] : {std::pair{&adj_G, "adj_G"}, std::pair{&adj_F, "adj_F"}, std::pair{&adj_C, "adj_C"},
                                  std::pair{&adj_v, "adj_v"}, std::pair{&adj_x, "adj_x"}})
    if (*adj) given = adj, of = name;
  if (!given) refuse("adj_x: expected at least one cotangent, got none");
  const Tensor& like = **given;
  return dispatch(like, of, [&]<class T>() -> std::vector<Tensor> {
    const auto roll = owned<Rollout<T>>(trajectory);
    if (!roll) refuse("trajectory: expected one of a differentiable rollout, got one without states");
    const std::int64_t steps = roll->steps(), n = roll->count();
    check_layers(layers, steps), check_range(wrt, "wrt", 0, (std::int64_t{1} << kGradients) - 1);
    Shape vector{n, 3}, matrix{n, 3, 3};
    if (layers.empty()) {
      layers = {steps};
    } else {
      const auto k = static_cast<std::int64_t>(layers.size());
      vector.insert(vector.begin(), k), matrix.insert(matrix.begin(), k);
    }
    const Input<T> x(adj_x, "adj_x", vector, of), v(adj_v, "adj_v", vector, of), C(adj_C, "adj_C", matrix, of);
    const Input<T> F(adj_F, "adj_F", matrix, of), G(adj_G, "adj_G", matrix, of);
    if (adj_G && !roll->motion_gradient())
      refuse("adj_G: expected None for a rollout without motion gradients, got a tensor");
    if ((wrt >> 4 & 1) != 0 && !roll->has_rest_state()) refuse("wrt: expected inputs that the rollout has, got Fp");
    if ((wrt >> 5 & 1) != 0 && control_layers != roll->control_layers())
      refuse("control_layers: expected " + std::to_string(roll->control_layers()) + ", those of the rollout, got " +
             std::to_string(control_layers));
    std::vector<StateAdjoint<T>> adjoints;
    for (std::size_t k = 0; k < layers.size(); ++k) {
      const auto at = [&](const Input<T>& in, std::int64_t width) {
        return in.data() ? in.data() + static_cast<std::int64_t>(k) * n * width : nullptr;
      };
      adjoints.push_back({layers[k], at(x, 3), at(v, 3), at(C, 9), at(F, 9), at(G, 9)});
    }
    RolloutGradients<T> g;
    std::vector<Tensor> out;
    int bit = 0;
    const auto give = [&](T*& target, const Shape& shape) {
      if ((wrt >> bit++ & 1) == 0) return;
      out.push_back(empty(like, shape));
      target = data<T>(out.back());
    };
    give(g.x, {n, 3}), give(g.v, {n, 3}), give(g.C, {n, 3, 3}), give(g.F, {n, 3, 3}), give(g.Fp, {n, 3, 3});
    give(g.control, {control_layers, n, 3, 3});
    give(g.mass, {n}), give(g.volume, {n}), give(g.lam, {n}), give(g.mu, {n});
    T *gravity = nullptr, *drag = nullptr;
    give(gravity, {3}), give(drag, {});
    Failure failure;
    core<T>(*table).vjp(*roll, adjoints, g, failure);
    check(failure);
    for (int r = 0; gravity && r < 3; ++r) gravity[r] = static_cast<T>(g.gravity[r]);
    if (drag) *drag = static_cast<T>(g.drag);
    return out;
  });
}

Tensor op_grid_mass(Tensor x, Tensor mass, Shape whole, std::vector<double> real) {
  return dispatch(x, "x", [&]<class T>() {
    const Input<T> x_in(x, "x", {kAny, 3}), mass_in(mass, "mass", {x.size(0)});
    const MpmParams params = unpack(whole, real);
    Tensor out = empty(x, {whole[0], whole[1], whole[2]});
    Failure failure;
    core<T>(*table).grid_mass(params, x.size(0), x_in.data(), mass_in.data(), data<T>(out), failure);
    check(failure);
    return out;
  });
}

std::tuple<Tensor, Tensor> op_grid_mass_vjp(Tensor x, Tensor mass, Tensor adj, Shape whole, std::vector<double> real) {
  return dispatch(x, "x", [&]<class T>() {
    const Input<T> x_in(x, "x", {kAny, 3}), mass_in(mass, "mass", {x.size(0)});
    const MpmParams params = unpack(whole, real);
    const Input<T> adj_in(adj, "adj_grid_mass", {whole[0], whole[1], whole[2]});
    Tensor adj_x = empty(x, {x.size(0), 3}), adj_mass = empty(x, {x.size(0)});
    Failure failure;
    core<T>(*table).grid_mass_vjp(params, x.size(0), x_in.data(), mass_in.data(), adj_in.data(), data<T>(adj_x),
                                  data<T>(adj_mass), failure);
    check(failure);
    return std::tuple(adj_x, adj_mass);
  });
}

template <class T>
std::tuple<Tensor, Tensor> value_and_adjoint(const Tensor& like, double value, const Tensor& adj) {
  Tensor out = empty(like, {});
  *data<T>(out) = static_cast<T>(value);
  return {out, adj};
}

std::tuple<Tensor, Tensor> op_mass_loss(Tensor m, Tensor target, std::int64_t kind, double m_ref,
                                        double outside_weight) {
  return dispatch(m, "m", [&]<class T>() {
    const Shape shape = shape_of(m);
    const Input<T> m_in(m, "m", shape), target_in(target, "target", shape, "m");
    check_range(kind, "kind", 0, 1);
    const auto number = [](double value, const char* name, bool good, const char* expected) {
      if (!(good && static_cast<T>(value) <= std::numeric_limits<T>::max()))
        refuse(std::string(name) + ": expected a number " + expected + ", got " + std::to_string(value));
    };
    number(m_ref, "m_ref", static_cast<T>(m_ref) >= std::numeric_limits<T>::min(), "> 0");
    number(outside_weight, "outside_weight", outside_weight >= 0, ">= 0");
    Tensor adj = empty(m, shape);
    const double value =
        core<T>(*table).mass_loss(static_cast<MassLoss>(kind), m.numel(), m_in.data(), target_in.data(),
                                  static_cast<T>(m_ref), static_cast<T>(outside_weight), data<T>(adj));
    return value_and_adjoint<T>(m, value, adj);
  });
}

std::tuple<Tensor, Tensor> op_kinetic_loss(Tensor v) {
  return dispatch(v, "v", [&]<class T>() {
    const Input<T> v_in(v, "v", {kAny, 3});
    if (v.size(0) == 0) refuse("v: expected at least one particle, got shape (0, 3)");
    Tensor adj = empty(v, {v.size(0), 3});
    const double value = core<T>(*table).kinetic_loss(v.size(0), v_in.data(), data<T>(adj));
    return value_and_adjoint<T>(v, value, adj);
  });
}

}  // namespace

// Hands the core over, once, before any operator runs. Returns 0, or 1 where the table is of another build.
DIFFMPM_EXPORT int diffmpm_use_table(std::uintptr_t address) {
  const auto* given = reinterpret_cast<const Table*>(address);
  if (given->size != sizeof(Table)) return 1;
  diffmpm::torch_ops::table = given;
  return 0;
}

STABLE_TORCH_LIBRARY_IMPL(diffmpm, CPU, m) {
  m.impl("rollout", TORCH_BOX(&op_rollout));
  m.impl("rollout_vjp", TORCH_BOX(&op_rollout_vjp));
  m.impl("grid_mass", TORCH_BOX(&op_grid_mass));
  m.impl("grid_mass_vjp", TORCH_BOX(&op_grid_mass_vjp));
  m.impl("mass_loss", TORCH_BOX(&op_mass_loss));
  m.impl("kinetic_loss", TORCH_BOX(&op_kinetic_loss));
}
