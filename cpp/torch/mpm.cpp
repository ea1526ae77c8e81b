// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Native kernels of torch.ops.diffmpm.*, on LibTorch's stable ABI: one binary for PyTorch 2.11 and newer. Schemas, fake kernels and
// autograd are in python/diffmpm/torch, which loads this library and calls diffmpm_use_table first. Kernels check their arguments
// and call the core through its table. This file: the simulation.
#include "diffmpm/mpm/params_codec.hpp"
#include "tensors.hpp"

#if defined(_WIN32)
#define DIFFMPM_EXPORT extern "C" __declspec(dllexport)
#else
#define DIFFMPM_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace diffmpm::torch_ops {
const Table* table = nullptr;
std::int32_t (*current_stream)(std::int32_t, void**) = nullptr;
}  // namespace diffmpm::torch_ops

namespace {

using namespace diffmpm;
using namespace diffmpm::torch_ops;

constexpr std::int64_t kMostSteps = (std::int64_t{1} << 31) - 1;
constexpr int kInputs = 12;  // of a rollout that have a gradient

MpmParams unpack(const std::vector<double>& config, const double* gravity = nullptr, const double* drag = nullptr) {
  try {
    return unpack_params(config, gravity, drag);
  } catch (const std::invalid_argument& error) {
    refuse(error.what());
  }
}

void check_layers(const Shape& layers, std::int64_t steps) {
  for (const std::int64_t layer : layers)
    if (layer < 0 || layer > steps)
      refuse("layers: expected an integer from 0 to " + std::to_string(steps) + ", got " + std::to_string(layer));
}

// Shape of a part of the state at the time steps `layers`; without any, of the end alone.
Shape stacked(const Shape& layers, Shape shape) {
  if (!layers.empty()) shape.insert(shape.begin(), static_cast<std::int64_t>(layers.size()));
  return shape;
}

using RolloutResult = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

RolloutResult op_rollout(Tensor x, Tensor v, Tensor C, Tensor F, MaybeTensor Fp, MaybeTensor control, Tensor mass,
                         Tensor volume, Tensor lam, Tensor mu, MaybeTensor gravity, MaybeTensor drag,
                         std::vector<double> config, std::int64_t steps, std::int64_t stride, Shape layers,
                         bool motion_gradient, bool differentiable, std::int64_t memory_budget) {
  return dispatch(x, [&]<class T>() -> RolloutResult {
    const Input<T> x_in(x, "x", {kAny, 3});
    const std::int64_t n = x.size(0);
    const Input<T> v_in(v, "v", {n, 3}), C_in(C, "C", {n, 3, 3}), F_in(F, "F", {n, 3, 3}), Fp_in(Fp, "Fp", {n, 3, 3});
    const Input<T> control_in(control, "control", {kAny, n, 3, 3}), mass_in(mass, "mass", {n});
    const Input<T> volume_in(volume, "volume", {n}), lam_in(lam, "lam", {n}), mu_in(mu, "mu", {n});
    const Input<T> gravity_in(gravity, "gravity", {3}), drag_in(drag, "drag", {});
    require(n > 0 && steps >= 0 && steps <= kMostSteps && stride >= 1 && memory_budget >= 0);
    check_layers(layers, steps);
    require(!control || control_in.size(0) <= (steps > 0 ? (steps - 1) / stride + 1 : 0));
    double forces[4] = {};
    for (int r = 0; gravity && r < 3; ++r) forces[r] = gravity_in.data()[r];
    if (drag) forces[3] = drag_in.data()[0];
    const MpmParams params = unpack(config, gravity ? forces : nullptr, drag ? forces + 3 : nullptr);
    RolloutInput<T> in;
    in.count = n, in.steps = steps, in.control_stride = stride;
    in.x = x_in.data(), in.v = v_in.data(), in.C = C_in.data(), in.F = F_in.data(), in.Fp = Fp_in.data();
    in.mass = mass_in.data(), in.volume = volume_in.data(), in.lam = lam_in.data(), in.mu = mu_in.data();
    in.control = control_in.data(), in.control_steps = control ? control_in.size(0) : 0;
    in.motion_gradient = motion_gradient, in.differentiable = differentiable;
    in.memory_budget = static_cast<std::size_t>(memory_budget);
    const CoreTable<T>& functions = core<T>(*table);
    auto roll = call(functions.run, params, in);
    const Shape vector = stacked(layers, {n, 3}), matrix = stacked(layers, {n, 3, 3});
    Tensor x_out = empty<T>(x, vector), v_out = empty<T>(x, vector), C_out = empty<T>(x, matrix),
           F_out = empty<T>(x, matrix), G_out = empty<T>(x, stacked(layers, {motion_gradient ? n : 0, 3, 3}));
    call(functions.states, *roll, layers.empty() ? Shape{steps} : layers, data<T>(x_out), data<T>(v_out),
         data<T>(C_out), data<T>(F_out), data<T>(G_out));
    if (!differentiable) roll.reset();
    return {x_out, v_out, C_out, F_out, G_out, own(roll)};
  });
}

std::vector<Tensor> op_rollout_vjp(Tensor trajectory, MaybeTensor adj_x, MaybeTensor adj_v, MaybeTensor adj_C,
                                   MaybeTensor adj_F, MaybeTensor adj_G, Shape layers, std::int64_t wrt,
                                   std::int64_t control_steps) {
  const MaybeTensor* first = nullptr;
  for (const MaybeTensor* adj : {&adj_G, &adj_F, &adj_C, &adj_v, &adj_x})
    if (*adj) first = adj;
  require(first);
  const Tensor& like = **first;
  return dispatch(like, [&]<class T>() -> std::vector<Tensor> {
    const auto roll = owned<Rollout<T>>(trajectory);
    const std::int64_t steps = roll->steps(), n = roll->count();
    check_layers(layers, steps);
    const Shape vector = stacked(layers, {n, 3}), matrix = stacked(layers, {n, 3, 3});
    const Input<T> x(adj_x, "adj_x", vector), v(adj_v, "adj_v", vector), C(adj_C, "adj_C", matrix);
    const Input<T> F(adj_F, "adj_F", matrix);
    const Input<T> G(adj_G, "adj_G", stacked(layers, {roll->motion_gradient() ? n : 0, 3, 3}));
    Gradients gradients(like, wrt, kInputs);
    if (control_steps != roll->control_steps())
      refuse("control_steps: expected " + std::to_string(roll->control_steps()) + ", as in the forward pass, got " +
             std::to_string(control_steps));
    if (layers.empty()) layers = {steps};
    std::vector<StateAdjoint<T>> adjoints;
    for (std::size_t k = 0; k < layers.size(); ++k) {
      const auto at = [&](const Input<T>& in, std::int64_t width) {
        return in.data() ? in.data() + static_cast<std::int64_t>(k) * n * width : nullptr;
      };
      adjoints.push_back({layers[k], at(x, 3), at(v, 3), at(C, 9), at(F, 9), at(G, 9)});
    }
    RolloutGradients<T> g;
    gradients.add(g.x, "x", {n, 3}), gradients.add(g.v, "v", {n, 3}), gradients.add(g.C, "C", {n, 3, 3});
    gradients.add(g.F, "F", {n, 3, 3}), gradients.add(g.Fp, "Fp", {n, 3, 3}, roll->has_rest_state());
    gradients.add(g.control, "control", {control_steps, n, 3, 3});
    gradients.add(g.mass, "mass", {n}), gradients.add(g.volume, "volume", {n});
    gradients.add(g.lam, "lam", {n}), gradients.add(g.mu, "mu", {n});
    T *gravity = nullptr, *drag = nullptr;
    gradients.add(gravity, "gravity", {3}), gradients.add(drag, "drag", {});
    call(core<T>(*table).vjp, *roll, adjoints, g);
    for (int r = 0; gravity && r < 3; ++r) gravity[r] = static_cast<T>(g.gravity[r]);
    if (drag) *drag = static_cast<T>(g.drag);
    return std::move(gradients.tensors);
  });
}

Tensor op_grid_mass(Tensor x, Tensor mass, std::vector<double> config) {
  return dispatch(x, [&]<class T>() {
    const Input<T> x_in(x, "x", {kAny, 3}), mass_in(mass, "mass", {x.size(0)});
    const MpmParams params = unpack(config);
    Tensor out = empty<T>(x, {params.dims[0], params.dims[1], params.dims[2]});
    call(core<T>(*table).grid_mass, params, x.size(0), x_in.data(), mass_in.data(), data<T>(out));
    return out;
  });
}

std::tuple<Tensor, Tensor> op_grid_mass_vjp(Tensor x, Tensor mass, Tensor adj, std::vector<double> config) {
  return dispatch(x, [&]<class T>() {
    const Input<T> x_in(x, "x", {kAny, 3}), mass_in(mass, "mass", {x.size(0)});
    const MpmParams params = unpack(config);
    const Input<T> adj_in(adj, "adj_grid_mass", {params.dims[0], params.dims[1], params.dims[2]});
    Tensor adj_x = empty<T>(x, {x.size(0), 3}), adj_mass = empty<T>(x, {x.size(0)});
    call(core<T>(*table).grid_mass_vjp, params, x.size(0), x_in.data(), mass_in.data(), adj_in.data(), data<T>(adj_x),
         data<T>(adj_mass));
    return std::tuple(adj_x, adj_mass);
  });
}

}  // namespace

// Connects the core and PyTorch's streams, before any operator runs. Returns 0, or 1 for the table of another build.
DIFFMPM_EXPORT int diffmpm_use_table(std::uintptr_t address, std::uintptr_t stream_function) {
  const auto* const core_table = reinterpret_cast<const Table*>(address);
  if (core_table->size != sizeof(Table)) return 1;
  diffmpm::torch_ops::table = core_table;
  diffmpm::torch_ops::current_stream = reinterpret_cast<decltype(current_stream)>(stream_function);
  return 0;
}
#if defined(DIFFMPM_EMULATE_CUDA)
std::int32_t diffmpm_emulated_device = kNoDevice;
#endif

STABLE_TORCH_LIBRARY_IMPL(diffmpm, CPU, m) {
  m.impl("rollout", TORCH_BOX(&op_rollout));
  m.impl("rollout_vjp", TORCH_BOX(&op_rollout_vjp));
  m.impl("grid_mass", TORCH_BOX(&op_grid_mass));
  m.impl("grid_mass_vjp", TORCH_BOX(&op_grid_mass_vjp));
}
