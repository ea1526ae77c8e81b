// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <initializer_list>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "compute.hpp"
#include "diffmpm/mpm/params_codec.hpp"
#include "enums.hpp"

using namespace nb::literals;
using namespace diffmpm;

namespace {

using Triple = std::array<double, 3>;

// A rollout, and where its arrays are.
template <class T>
struct BoundRollout {
  std::unique_ptr<Rollout<T>> rollout;
  Context context;
};

void translate_step_error(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const StepError& error) {
    const nb::object create = nb::module_::import_("diffmpm.errors").attr("simulation_error");
    const nb::object value =
        create(error.what(), error.particle, error.step, kCauseNames[static_cast<int>(error.cause)]);
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(value.ptr())), value.ptr());
  }
}

// Binds each field of Owner as a property; arrays become tuples.
template <class Owner>
struct BindFields {
  nb::class_<Owner>& owner;

  template <class Field, class Base>
  void operator()(const char* name, const Limits&, Field Base::* member) const {
    if constexpr (std::is_array_v<Field>) {
      owner.def_prop_ro(name, [member](const Owner& self) { return std::to_array(self.*member); });
    } else {
      owner.def_ro(name, member);
    }
  }
};

// Adds (name, names of the values of an enumeration) for each field, in the order of the codec.
struct ListFields {
  nb::list& list;

  template <class Field>
  void operator()(const char* name, const Limits& limits, Field) const {
    nb::list names;
    for (int k = 0; limits.names && k <= static_cast<int>(limits.most); ++k) names.append(limits.names[k]);
    list.append(nb::make_tuple(name, nb::tuple(names)));
  }
};

void bind_params(nb::module_& m) {
  bind_enum<Basis>(m, "Basis", kBasisNames);
  bind_enum<Material>(m, "Material", kMaterialNames);
  bind_enum<Boundary>(m, "Boundary", kBoundaryNames);
  bind_enum<ColliderShape>(m, "ColliderShape", kColliderShapeNames);
  auto collider = nb::class_<Collider>(m, "Collider", "Analytic collider; `diffmpm.HalfSpace` or `diffmpm.Sphere`.");
  for_each_collider_field<Collider>(BindFields<Collider>{collider});
  auto params = nb::class_<MpmParams>(m, "MpmParams", "Options of a simulation, from `unpack_params`.");
  params.def_ro("colliders", &MpmParams::colliders);
  for_each_field<MpmParams>(BindFields<MpmParams>{params});
  nb::list fields, collider_fields;
  for_each_field<MpmParams>(ListFields{fields});
  for_each_collider_field<Collider>(ListFields{collider_fields});
  m.attr("PARAM_FIELDS") = nb::tuple(fields);
  m.attr("COLLIDER_FIELDS") = nb::tuple(collider_fields);
  m.def(
      "unpack_params",
      [](const std::vector<double>& numbers, const std::optional<Triple>& gravity, std::optional<double> drag) {
        return unpack_params(numbers, gravity ? gravity->data() : nullptr, drag ? &*drag : nullptr);
      },
      "numbers"_a, "gravity"_a = nb::none(), "drag"_a = nb::none(),
      "Options from their list of numbers; `gravity` and `drag` replace those of the list. Raises ValueError.");
}

template <class T>
void construct(BoundRollout<T>* self, const MpmParams& params, const ArrayArg<T>& x, const ArrayArg<T>& v,
               const ArrayArg<T>& C, const ArrayArg<T>& F, const std::optional<ArrayArg<T>>& Fp,
               const ArrayArg<T>& mass, const ArrayArg<T>& volume, const ArrayArg<T>& lam, const ArrayArg<T>& mu,
               const std::optional<ArrayArg<T>>& control, std::int64_t control_stride, std::int64_t steps,
               bool motion_gradient, bool differentiable, std::size_t memory_budget) {
  RolloutInput<T> in;
  in.count = static_cast<std::int64_t>(x.shape(0));
  in.x = x.data(), in.v = v.data(), in.C = C.data(), in.F = F.data(), in.Fp = pointer(Fp);
  in.mass = mass.data(), in.volume = volume.data(), in.lam = lam.data(), in.mu = mu.data();
  in.control = pointer(control);
  in.control_steps = control ? static_cast<std::int64_t>(control->shape(0)) : 0;
  in.control_stride = control_stride, in.steps = steps;
  in.motion_gradient = motion_gradient, in.differentiable = differentiable;
  in.memory_budget = memory_budget;
  const DeviceScope scope(x.device());
  const NativeCall call;
  new (self) BoundRollout<T>{backend<T>(scope).mpm.rollout(scope, params, in), scope};
}

template <class T>
ArrayResult<T> state(BoundRollout<T>& trajectory, std::int64_t layer, const std::string& name) {
  const auto n = static_cast<std::size_t>(trajectory.rollout->count());
  const bool vector = name == "x" || name == "v";
  const StreamGuard guard(trajectory.context);
  const OutputArray<T> out =
      vector ? OutputArray<T>(trajectory.context.device, {n, 3}) : OutputArray<T>(trajectory.context.device, {n, 3, 3});
  {
    const NativeCall call;
    const auto target = [&](const char* which) { return name == which ? out.data() : nullptr; };
    trajectory.rollout->state(layer, target("x"), target("v"), target("C"), target("F"), target("G"));
  }
  return out.result();
}

// States of a rollout at K time steps: x, v (K, N, 3), C, F (K, N, 3, 3) and G, which is (K, 0, 3, 3) without motion gradients.
// Without time steps, the end without that axis.
template <class T>
nb::tuple stacked_states(BoundRollout<T>& trajectory, std::vector<std::int64_t> layers) {
  Rollout<T>& roll = *trajectory.rollout;
  const StreamGuard guard(trajectory.context);
  const auto make = [&](std::vector<std::size_t> shape) {
    if (!layers.empty()) shape.insert(shape.begin(), layers.size());
    return OutputArray<T>(trajectory.context.device, shape);
  };
  const auto n = static_cast<std::size_t>(roll.count());
  const bool motion = roll.motion_gradient();
  const OutputArray<T> x = make({n, 3}), v = make({n, 3}), C = make({n, 3, 3}), F = make({n, 3, 3}),
                       G = make({motion ? n : 0, 3, 3});
  if (layers.empty()) layers = {roll.steps()};
  {
    const NativeCall call;
    copy_states(roll, layers, x.data(), v.data(), C.data(), F.data(), motion ? G.data() : nullptr);
  }
  return nb::make_tuple(x.result(), v.result(), C.result(), F.result(), G.result());
}

template <class T>
using Cotangents = std::tuple<std::int64_t, std::optional<ArrayArg<T>>, std::optional<ArrayArg<T>>,
                              std::optional<ArrayArg<T>>, std::optional<ArrayArg<T>>, std::optional<ArrayArg<T>>>;

template <class T>
nb::dict vjp(BoundRollout<T>& trajectory, const nb::sequence& cotangents, const nb::sequence& wrt) {
  std::vector<StateAdjoint<T>> adjoints;
  for (const auto& [layer, x, v, C, F, G] : items<Cotangents<T>>(cotangents))
    adjoints.push_back({layer, pointer(x), pointer(v), pointer(C), pointer(F), pointer(G)});
  const auto n = static_cast<std::size_t>(trajectory.rollout->count());
  const auto control_steps = static_cast<std::size_t>(trajectory.rollout->control_steps());
  const StreamGuard guard(trajectory.context);
  RolloutGradients<T> g;
  nb::dict out;
  for (const std::string& name : items<std::string>(wrt)) {
    const auto request_gradient = [&](const char* which, T*& target, std::initializer_list<std::size_t> shape) {
      if (name != which) return;
      const OutputArray<T> array(trajectory.context.device, shape);
      target = array.data();
      out[which] = array.result();
    };
    request_gradient("x", g.x, {n, 3}), request_gradient("v", g.v, {n, 3});
    request_gradient("C", g.C, {n, 3, 3}), request_gradient("F", g.F, {n, 3, 3}), request_gradient("G", g.G, {n, 3, 3}),
        request_gradient("Fp", g.Fp, {n, 3, 3});
    request_gradient("mass", g.mass, {n}), request_gradient("volume", g.volume, {n}),
        request_gradient("lam", g.lam, {n}), request_gradient("mu", g.mu, {n});
    request_gradient("control", g.control, {control_steps, n, 3, 3});
  }
  {
    const NativeCall call;
    trajectory.rollout->vjp(adjoints, g);
  }
  out["gravity"] = Triple{g.gravity[0], g.gravity[1], g.gravity[2]};
  out["drag"] = g.drag;
  return out;
}

template <class T>
void bind_rollout(nb::module_& m, const char* name) {
  nb::class_<BoundRollout<T>>(m, name, "Trajectory of a simulation; private, see diffmpm.Rollout.")
      .def("__init__", &construct<T>, "params"_a, "x"_a, "v"_a, "C"_a, "F"_a, "Fp"_a.none(), "mass"_a, "volume"_a,
           "lam"_a, "mu"_a, "control"_a.none(), "control_stride"_a, "steps"_a, "motion_gradient"_a, "differentiable"_a,
           "memory_budget"_a)
      .def_prop_ro("count", [](const BoundRollout<T>& t) { return t.rollout->count(); })
      .def_prop_ro("steps", [](const BoundRollout<T>& t) { return t.rollout->steps(); })
      .def_prop_ro("stored_layers", [](const BoundRollout<T>& t) { return t.rollout->stored_layers(); })
      .def("state", &state<T>, "layer"_a, "name"_a)
      .def("stacked_states", &stacked_states<T>, "layers"_a)
      .def("vjp", &vjp<T>, "cotangents"_a, "wrt"_a);
}

template <class T>
ArrayResult<T> bind_grid_mass(const MpmParams& params, const ArrayArg<T>& x, const ArrayArg<T>& mass) {
  return filled(x, {std::begin(params.dims), std::end(params.dims)}, [&](const auto& core, const Context& c, T* out) {
    core.mpm.grid_mass(c, params, rows(x), x.data(), mass.data(), out);
  });
}

template <class T>
std::tuple<ArrayResult<T>, ArrayResult<T>> bind_grid_mass_vjp(const MpmParams& params, const ArrayArg<T>& x,
                                                              const ArrayArg<T>& mass, const ArrayArg<T>& adj_out) {
  const OutputArray<T> adj_x(x.device(), {x.shape(0), 3}), adj_mass(x.device(), {x.shape(0)});
  call_backend(x, [&](const auto& core, const Context& c) {
    core.mpm.grid_mass_vjp(c, params, rows(x), x.data(), mass.data(), adj_out.data(), adj_x.data(), adj_mass.data());
  });
  return {adj_x.result(), adj_mass.result()};
}

template <class T>
void bind_grid(nb::module_& m) {
  m.def("grid_mass", &bind_grid_mass<T>, "params"_a, "x"_a, "mass"_a);
  m.def("grid_mass_vjp", &bind_grid_mass_vjp<T>, "params"_a, "x"_a, "mass"_a, "adj_out"_a);
}

}  // namespace

void bind_mpm(nb::module_& m) {
  nb::register_exception_translator(translate_step_error);
  bind_params(m);
  bind_rollout<float>(m, "Rollout32");
  bind_rollout<double>(m, "Rollout64");
  bind_grid<float>(m);
  bind_grid<double>(m);
}
