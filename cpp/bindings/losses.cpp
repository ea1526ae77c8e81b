// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <nanobind/stl/array.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "compute.hpp"
#include "enums.hpp"

using namespace nb::literals;
using namespace diffmpm;

namespace {

template <class T>
using ValueAndAdjoint = std::tuple<Number, ArrayResult<T>>;

// Value and gradient with respect to x, as compute(functions, context, adj, value) writes them.
template <class T, class Compute>
ValueAndAdjoint<T> value_and_adjoint(const ArrayArg<T>& x, const Compute& compute, bool wait = true) {
  const DeviceScope scope(x.device());
  const OutputArray<T> adj(x.device(), x.shape());
  Number value = number(scope, wait, [&](double* out) { compute(backend<T>(scope).losses, scope, adj.data(), out); });
  return {std::move(value), adj.result()};
}

template <class T>
ValueAndAdjoint<T> grid_mass_loss(MassLoss loss, const ArrayArg<T>& m, const ArrayArg<T>& target, double m_ref,
                                  double outside_weight, bool wait) {
  const auto compute = [&](const auto& losses, const Context& c, T* adj, double* value) {
    losses.grid_mass(c, loss, count_of(m), m.data(), target.data(), static_cast<T>(m_ref),
                     static_cast<T>(outside_weight), adj, value);
  };
  return value_and_adjoint(m, compute, wait);
}

template <class T>
ValueAndAdjoint<T> kinetic_loss(const ArrayArg<T>& v, bool wait) {
  const auto compute = [&](const auto& losses, const Context& c, T* adj, double* value) {
    losses.kinetic(c, rows(v), v.data(), adj, value);
  };
  return value_and_adjoint(v, compute, wait);
}

template <class T>
ValueAndAdjoint<T> proximity_loss(const ArrayArg<T>& x, const ArrayArg<T>& points, double spacing, double reach) {
  if (x.size() == 0 || points.size() == 0 || x.device() != points.device())
    throw std::invalid_argument("expected particles and points on one device, got none or others");
  return value_and_adjoint(x, [&](const auto& losses, const Context& c, T* adj, double* value) {
    losses.proximity(c, rows(x), x.data(), rows(points), points.data(), static_cast<T>(spacing), static_cast<T>(reach),
                     adj, value);
  });
}

template <class T>
ValueAndAdjoint<T> skin_loss(const ArrayArg<T>& x, const ArrayArg<T>& distance, const std::array<double, 3>& origin,
                             double cell, double spacing) {
  if (x.size() == 0 || distance.axes() != 3 || x.device() != distance.device())
    throw std::invalid_argument("expected particles and a grid on one device, got others");
  FieldGrid<T> grid;
  for (std::size_t a = 0; a < 3; ++a) {
    if (distance.shape(a) < 2) throw std::invalid_argument("distance: expected two nodes per axis, got fewer");
    grid.dims[a] = static_cast<std::int64_t>(distance.shape(a)), grid.origin[a] = static_cast<T>(origin[a]);
  }
  grid.spacing = static_cast<T>(cell), grid.values = distance.data();
  return value_and_adjoint(x, [&](const auto& losses, const Context& c, T* adj, double* value) {
    losses.skin(c, rows(x), x.data(), grid, static_cast<T>(spacing), adj, value);
  });
}

// Value, gradient and potential. A null target: half of the transport to itself.
template <class T>
std::tuple<Number, ArrayResult<T>, ArrayResult<T>> transport_loss(const ArrayArg<T>& m,
                                                                  const std::optional<ArrayArg<T>>& target,
                                                                  const ArrayArg<T>& dual, double first_temperature,
                                                                  double temperature, int sweeps) {
  if (target) check_alike(m, *target);
  check_alike(m, dual);
  if (m.axes() != 3 || m.size() == 0) throw std::invalid_argument("m: expected a grid with nodes, got another shape");
  TransportOptions options;
  for (int a = 0; a < 3; ++a) options.dims[a] = static_cast<std::int64_t>(m.shape(static_cast<std::size_t>(a)));
  options.first_temperature = first_temperature, options.temperature = temperature, options.sweeps = sweeps;
  const DeviceScope scope(m.device());
  const OutputArray<T> adj(m.device(), m.shape()), potential(m.device(), m.shape());
  Number result = number(scope, true, [&](double* value) {
    const auto& functions = backend<T>(scope);
    functions.arrays.copy(scope, count_of(m), dual.data(), potential.data());
    functions.losses.transport(scope, options, m.data(), pointer(target), potential.data(), adj.data(), value);
  });
  return {std::move(result), adj.result(), potential.result()};
}

// Value of an image loss, and a cotangent for each array of `images`.
template <class T>
std::tuple<double, std::vector<ArrayResult<T>>> evaluate_image_loss(
    ImageLoss loss, const nb::sequence& image_list, const nb::sequence& target_list, double length,
    const std::vector<std::pair<double, double>>& scales) {
  const std::vector<ArrayArg<T>> images = items<ArrayArg<T>>(image_list), targets = items<ArrayArg<T>>(target_list);
  if (images.empty()) throw std::invalid_argument("images: expected at least one array, got none");
  const ArrayArg<T>& image = images.front();
  const DeviceScope scope(image.device());
  std::vector<OutputArray<T>> adj;
  for (const ArrayArg<T>& one : images) adj.emplace_back(one.device(), one.shape());
  ImageLossInput<T> in;
  in.loss = loss, in.length = length;
  in.count = static_cast<std::int64_t>(image.shape(0));
  in.height = static_cast<int>(image.shape(1)), in.width = static_cast<int>(image.shape(2));
  in.channels = image.axes() > 3 ? static_cast<int>(image.shape(3)) : 1;
  const auto at = [](const std::vector<ArrayArg<T>>& arrays, std::size_t n) {
    return n < arrays.size() ? arrays[n].data() : nullptr;
  };
  in.image = image.data(), in.depth = at(images, 1), in.target = at(targets, 0), in.target_second = at(targets, 1);
  in.adj_image = adj[0].data(), in.adj_depth = adj.size() > 1 ? adj[1].data() : nullptr;
  for (const auto& [sigma, factor] : scales) in.scales.push_back({sigma, factor});
  double value = 0;
  {
    const NativeCall call;
    value = backend<T>(scope).image_losses.evaluate(scope, in);
  }
  std::vector<ArrayResult<T>> results;
  for (const OutputArray<T>& one : adj) results.push_back(one.result());
  return {value, std::move(results)};
}

constexpr const char* kValue = "Value and gradient. Without `wait` the value of CUDA arrays is one, float64.";

template <class T>
void bind(nb::module_& m) {
  m.def("loss_grid_mass", &grid_mass_loss<T>, "loss"_a, "m"_a, "target"_a, "m_ref"_a, "outside_weight"_a,
        "wait"_a = true, kValue);
  m.def("loss_kinetic", &kinetic_loss<T>, "v"_a, "wait"_a = true, kValue);
  m.def("loss_proximity", &proximity_loss<T>, "x"_a, "points"_a, "spacing"_a, "reach"_a);
  m.def("loss_skin", &skin_loss<T>, "x"_a, "distance"_a, "origin"_a, "cell"_a, "spacing"_a);
  m.def("loss_transport", &transport_loss<T>, "m"_a, "target"_a.none(), "dual"_a, "first_temperature"_a,
        "temperature"_a, "sweeps"_a);
  m.def("image_loss", &evaluate_image_loss<T>, "loss"_a, "images"_a, "targets"_a, "length"_a = 1.0,
        "scales"_a = std::vector<std::pair<double, double>>());
}

}  // namespace

void bind_losses(nb::module_& m) {
  bind_enum<MassLoss>(m, "MassLoss", kMassLossNames);
  bind_enum<ImageLoss>(m, "ImageLoss", kImageLossNames);
  bind<float>(m);
  bind<double>(m);
}
