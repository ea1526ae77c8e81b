// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <chrono>
#include <initializer_list>
#include <string>
#include <tuple>
#include <vector>

#include "arrays.hpp"
#include "bound_rollout.hpp"
#include "diffmpm/mpm/rollout.hpp"
#include "poll.hpp"

using namespace nb::literals;
using namespace diffmpm;

namespace {

using Triple = std::array<double, 3>;

void translate_step_error(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const StepError& error) {
    static constexpr const char* kCauses[] = {"left_grid", "not_finite", "inverted", "degenerate"};
    const nb::object make = nb::module_::import_("diffmpm.errors").attr("simulation_error");
    const nb::object value = make(error.what(), error.particle, error.step, kCauses[static_cast<int>(error.cause)]);
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(value.ptr())), value.ptr());
  }
}

template <auto Member>
auto triple_getter() {
  return
      [](const MpmParams& p) { return Triple{double((p.*Member)[0]), double((p.*Member)[1]), double((p.*Member)[2])}; };
}

void bind_params(nb::module_& m) {
  nb::class_<MpmParams>(m, "MpmParams", "Options of a simulation; `diffmpm.SimConfig` checks and fills it.")
      .def(nb::init<>())
      .def_rw("dx", &MpmParams::dx)
      .def_rw("dt", &MpmParams::dt)
      .def_prop_rw("origin", triple_getter<&MpmParams::origin>(),
                   [](MpmParams& p, const Triple& v) { std::copy(v.begin(), v.end(), p.origin); })
      .def_prop_rw(
          "dims", [](const MpmParams& p) { return std::array<int, 3>{p.dims[0], p.dims[1], p.dims[2]}; },
          [](MpmParams& p, const std::array<int, 3>& v) { std::copy(v.begin(), v.end(), p.dims); })
      .def_prop_rw(
          "basis", [](const MpmParams& p) { return static_cast<int>(p.basis); },
          [](MpmParams& p, int v) { p.basis = static_cast<Basis>(v); })
      .def_prop_rw(
          "material", [](const MpmParams& p) { return static_cast<int>(p.material); },
          [](MpmParams& p, int v) { p.material = static_cast<Material>(v); })
      .def_prop_rw(
          "boundary", [](const MpmParams& p) { return static_cast<int>(p.boundary); },
          [](MpmParams& p, int v) { p.boundary = static_cast<Boundary>(v); })
      .def_rw("boundary_nodes", &MpmParams::boundary_nodes)
      .def_rw("smoothing", &MpmParams::smoothing)
      .def_rw("drag", &MpmParams::drag)
      .def_prop_rw("gravity", triple_getter<&MpmParams::gravity>(),
                   [](MpmParams& p, const Triple& v) { std::copy(v.begin(), v.end(), p.gravity); })
      .def_rw("shear_viscosity", &MpmParams::shear_viscosity)
      .def_rw("bulk_viscosity", &MpmParams::bulk_viscosity)
      .def_rw("damping", &MpmParams::damping)
      .def_rw("volume_carried", &MpmParams::volume_carried)
      .def_prop_ro("colliders", [](const MpmParams& p) { return p.colliders.size(); })
      .def(
          "add_collider",
          [](MpmParams& p, int shape, int mode, const Triple& point, const Triple& normal, double radius) {
            Collider c;
            c.shape = static_cast<ColliderShape>(shape), c.mode = static_cast<Boundary>(mode), c.radius = radius;
            std::copy(point.begin(), point.end(), c.point);
            std::copy(normal.begin(), normal.end(), c.normal);
            p.colliders.push_back(c);
          },
          "shape"_a, "mode"_a, "point"_a, "normal"_a, "radius"_a);
}

template <class T>
void construct(BoundRollout<T>* self, const MpmParams& params, const Given<T>& x, const Given<T>& v, const Given<T>& C,
               const Given<T>& F, const std::optional<Given<T>>& Fp, const Given<T>& mass, const Given<T>& volume,
               const Given<T>& lam, const Given<T>& mu, const std::optional<Given<T>>& control,
               std::int64_t control_stride, std::int64_t steps, bool motion_gradient, bool differentiable,
               std::size_t memory_budget) {
  RolloutInput<T> in;
  in.count = static_cast<std::int64_t>(x.shape(0));
  in.x = x.data(), in.v = v.data(), in.C = C.data(), in.F = F.data(), in.Fp = pointer(Fp);
  in.mass = mass.data(), in.volume = volume.data(), in.lam = lam.data(), in.mu = mu.data();
  in.control = pointer(control);
  in.control_layers = control ? static_cast<std::int64_t>(control->shape(0)) : 0;
  in.control_stride = control_stride, in.steps = steps;
  in.motion_gradient = motion_gradient, in.differentiable = differentiable;
  in.memory_budget = memory_budget, in.poll = make_poll();
  const DeviceScope scope(x.device());
  const nb::gil_scoped_release release;
  if (x.on_device()) {
    new (self) BoundRollout<T>{cuda::rollout(params, in, scope.stream()), x.device(), scope.stream()};
  } else {
    new (self) BoundRollout<T>{Rollout<T>(params, in), kNoDevice, nullptr};
  }
}

template <class T>
Made<T> state(BoundRollout<T>& trajectory, std::int64_t layer, const std::string& name) {
  const auto n = static_cast<std::size_t>(trajectory.rollout.count());
  const bool vector = name == "x" || name == "v";
  const StreamGuard guard(trajectory.device, trajectory.stream);
  const Maker<T> out = vector ? Maker<T>(trajectory.device, {n, 3}) : Maker<T>(trajectory.device, {n, 3, 3});
  {
    const nb::gil_scoped_release release;
    const auto at = [&](const char* which) { return name == which ? out.data() : nullptr; };
    trajectory.rollout.state(layer, at("x"), at("v"), at("C"), at("F"), at("G"));
  }
  return out.result();
}

template <class T>
using Cotangents = std::tuple<std::int64_t, std::optional<Given<T>>, std::optional<Given<T>>, std::optional<Given<T>>,
                              std::optional<Given<T>>, std::optional<Given<T>>>;

template <class T>
nb::dict vjp(BoundRollout<T>& trajectory, const std::vector<Cotangents<T>>& cotangents,
             const std::vector<std::string>& wrt) {
  std::vector<StateAdjoint<T>> adjoints;
  for (const auto& [layer, x, v, C, F, G] : cotangents)
    adjoints.push_back({layer, pointer(x), pointer(v), pointer(C), pointer(F), pointer(G)});
  const auto n = static_cast<std::size_t>(trajectory.rollout.count());
  const auto layers = static_cast<std::size_t>(trajectory.rollout.control_layers());
  const StreamGuard guard(trajectory.device, trajectory.stream);
  RolloutGradients<T> g;
  nb::dict out;
  for (const std::string& name : wrt) {
    const auto give = [&](const char* which, T*& target, std::initializer_list<std::size_t> shape) {
      if (name != which) return;
      const Maker<T> made(trajectory.device, shape);
      target = made.data();
      out[which] = made.result();
    };
    give("x", g.x, {n, 3}), give("v", g.v, {n, 3});
    give("C", g.C, {n, 3, 3}), give("F", g.F, {n, 3, 3}), give("G", g.G, {n, 3, 3}), give("Fp", g.Fp, {n, 3, 3});
    give("mass", g.mass, {n}), give("volume", g.volume, {n}), give("lam", g.lam, {n}), give("mu", g.mu, {n});
    give("control", g.control, {layers, n, 3, 3});
  }
  {
    const nb::gil_scoped_release release;
    trajectory.rollout.vjp(adjoints, g);
  }
  out["gravity"] = Triple{g.gravity[0], g.gravity[1], g.gravity[2]};
  out["drag"] = g.drag;
  return out;
}

template <class T>
void bind_rollout(nb::module_& m, const char* name) {
  nb::class_<BoundRollout<T>>(m, name, "Trajectory of a simulation; private, see diffmpm.Rollout.")
      .def("__init__", &construct<T>, "params"_a, "x"_a.noconvert(), "v"_a.noconvert(), "C"_a.noconvert(),
           "F"_a.noconvert(), "Fp"_a.noconvert().none(), "mass"_a.noconvert(), "volume"_a.noconvert(),
           "lam"_a.noconvert(), "mu"_a.noconvert(), "control"_a.noconvert().none(), "control_stride"_a, "steps"_a,
           "motion_gradient"_a, "differentiable"_a, "memory_budget"_a)
      .def_prop_ro("count", [](const BoundRollout<T>& t) { return t.rollout.count(); })
      .def_prop_ro("steps", [](const BoundRollout<T>& t) { return t.rollout.steps(); })
      .def_prop_ro("stored_layers", [](const BoundRollout<T>& t) { return t.rollout.stored_layers(); })
      .def("state", &state<T>, "layer"_a, "name"_a)
      .def("vjp", &vjp<T>, "cotangents"_a, "wrt"_a);
}

template <class T>
Made<T> bind_grid_mass(const MpmParams& params, const Given<T>& x, const Given<T>& mass) {
  const DeviceScope scope(x.device());
  const Maker<T> out(x.device(), {static_cast<std::size_t>(params.dims[0]), static_cast<std::size_t>(params.dims[1]),
                                  static_cast<std::size_t>(params.dims[2])});
  {
    const nb::gil_scoped_release release;
    const auto n = static_cast<std::int64_t>(x.shape(0));
    if (x.on_device()) {
      cuda::grid_mass(params, n, x.data(), mass.data(), out.data(), scope.stream());
    } else {
      grid_mass(params, n, x.data(), mass.data(), out.data());
    }
  }
  return out.result();
}

template <class T>
std::tuple<Made<T>, Made<T>> bind_grid_mass_vjp(const MpmParams& params, const Given<T>& x, const Given<T>& mass,
                                                const Given<T>& adj_out) {
  const DeviceScope scope(x.device());
  const Maker<T> adj_x(x.device(), {x.shape(0), 3}), adj_mass(x.device(), {x.shape(0)});
  {
    const nb::gil_scoped_release release;
    const auto n = static_cast<std::int64_t>(x.shape(0));
    if (x.on_device()) {
      cuda::grid_mass_vjp(params, n, x.data(), mass.data(), adj_out.data(), adj_x.data(), adj_mass.data(),
                          scope.stream());
    } else {
      grid_mass_vjp(params, n, x.data(), mass.data(), adj_out.data(), adj_x.data(), adj_mass.data());
    }
  }
  return {adj_x.result(), adj_mass.result()};
}

template <class T>
void bind_grid(nb::module_& m) {
  m.def("grid_mass", &bind_grid_mass<T>, "params"_a, "x"_a.noconvert(), "mass"_a.noconvert());
  m.def("grid_mass_vjp", &bind_grid_mass_vjp<T>, "params"_a, "x"_a.noconvert(), "mass"_a.noconvert(),
        "adj_out"_a.noconvert());
}

}  // namespace

std::function<void()> make_poll() {
  auto last = std::chrono::steady_clock::now();
  return [last]() mutable {
    const auto now = std::chrono::steady_clock::now();
    if (now - last < std::chrono::milliseconds(50)) return;
    last = now;
    const nb::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
  };
}

void bind_mpm(nb::module_& m) {
  nb::register_exception_translator(translate_step_error);
  bind_params(m);
  bind_rollout<float>(m, "Rollout32");
  bind_rollout<double>(m, "Rollout64");
  bind_grid<float>(m);
  bind_grid<double>(m);
  m.attr("MAX_COLLIDERS") = kMaxColliders;
}
