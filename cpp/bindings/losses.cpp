// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "diffmpm/losses/filters.hpp"
#include "diffmpm/losses/losses.hpp"

using namespace nb::literals;
using namespace diffmpm;

namespace {

template <class T>
std::tuple<double, Made<T>> grid_mass_loss(int kind, const Given<T>& m, const Given<T>& target, double m_ref,
                                           double outside_weight) {
  const DeviceScope scope(m.device());
  const Maker<T> adj(m.device(), m.lengths());
  const auto which = static_cast<MassLoss>(kind);
  const auto count = static_cast<std::int64_t>(m.size());
  const T reference = static_cast<T>(m_ref), outside = static_cast<T>(outside_weight);
  double value = 0;
  {
    const nb::gil_scoped_release release;
    value = m.on_device() ? cuda::loss_grid_mass(which, count, m.data(), target.data(), reference, outside, adj.data(),
                                                 scope.stream())
                          : loss_grid_mass(which, count, m.data(), target.data(), reference, outside, adj.data());
  }
  return {value, adj.result()};
}

template <class T>
std::tuple<double, Made<T>> kinetic_loss(const Given<T>& v) {
  const DeviceScope scope(v.device());
  const Maker<T> adj(v.device(), {v.shape(0), 3});
  const auto count = static_cast<std::int64_t>(v.shape(0));
  double value = 0;
  {
    const nb::gil_scoped_release release;
    value = v.on_device() ? cuda::loss_kinetic(count, v.data(), adj.data(), scope.stream())
                          : loss_kinetic(count, v.data(), adj.data());
  }
  return {value, adj.result()};
}

// The same of arrays on a device, with the value there, float64: nothing waits.
template <class T>
std::tuple<DeviceArray, DeviceArray> put_grid_mass_loss(int kind, const DeviceArray& m, const DeviceArray& target,
                                                        double m_ref, double outside_weight) {
  const DeviceScope scope(m.device);
  DeviceArray value = new_device_array({}, true, m.device), adj = new_device_array(m.shape, m.wide, m.device);
  cuda::put_loss_grid_mass<T>(static_cast<MassLoss>(kind), static_cast<std::int64_t>(m.size()), m.data<T>(),
                              target.data<T>(), static_cast<T>(m_ref), static_cast<T>(outside_weight), adj.data<T>(),
                              value.data<double>(), scope.stream());
  return {std::move(value), std::move(adj)};
}

template <class T>
std::tuple<DeviceArray, DeviceArray> put_kinetic_loss(const DeviceArray& v) {
  const DeviceScope scope(v.device);
  DeviceArray value = new_device_array({}, true, v.device), adj = new_device_array(v.shape, v.wide, v.device);
  cuda::put_loss_kinetic<T>(static_cast<std::int64_t>(v.shape[0]), v.data<T>(), adj.data<T>(), value.data<double>(),
                            scope.stream());
  return {std::move(value), std::move(adj)};
}

// Images (..., height, width).
struct Size {
  explicit Size(const std::vector<std::size_t>& shape)
      : height(static_cast<int>(shape[shape.size() - 2])), width(static_cast<int>(shape.back())) {
    for (std::size_t k = 0; k + 2 < shape.size(); ++k) count *= static_cast<std::int64_t>(shape[k]);
  }
  std::int64_t count = 1;
  int height, width;
};

template <class T>
Made<T> blur_images(const Given<T>& in, double sigma) {
  if (!(sigma > 0 && sigma <= kMostReach / kReachOfBlur))
    throw std::invalid_argument("sigma: expected more than 0 and at most 16 pixels, got " + std::to_string(sigma));
  const DeviceScope scope(in.device());
  const Maker<T> out(in.device(), in.shape());
  const Size s(in.shape());
  {
    const nb::gil_scoped_release release;
    in.on_device() ? cuda::blur(s.count, s.height, s.width, sigma, in.data(), out.data(), scope.stream())
                   : blur(s.count, s.height, s.width, sigma, in.data(), out.data());
  }
  return out.result();
}

template <class T>
Made<T> pool_images(const Given<T>& in, int size) {
  const Size s(in.shape());
  std::vector<std::size_t> shape = in.shape();
  for (std::size_t k = shape.size() - 2; k < shape.size(); ++k)
    shape[k] = (shape[k] + static_cast<std::size_t>(size) - 1) / static_cast<std::size_t>(size);
  const DeviceScope scope(in.device());
  const Maker<T> out(in.device(), std::move(shape));
  in.on_device() ? cuda::pool(s.count, s.height, s.width, size, in.data(), out.data(), scope.stream())
                 : pool(s.count, s.height, s.width, size, in.data(), out.data());
  return out.result();
}

template <class T>
Made<T> pool_images_vjp(const Given<T>& adj, int size, const std::vector<std::size_t>& shape) {
  const Size s(shape);
  const DeviceScope scope(adj.device());
  const Maker<T> out(adj.device(), shape);
  adj.on_device() ? cuda::pool_vjp(s.count, s.height, s.width, size, adj.data(), out.data(), scope.stream())
                  : pool_vjp(s.count, s.height, s.width, size, adj.data(), out.data());
  return out.result();
}

template <class T>
void bind(nb::module_& m) {
  m.def("loss_grid_mass", &grid_mass_loss<T>, "kind"_a, "m"_a.noconvert(), "target"_a.noconvert(), "m_ref"_a,
        "outside_weight"_a);
  m.def("loss_kinetic", &kinetic_loss<T>, "v"_a.noconvert());
  m.def("blur", &blur_images<T>, "images"_a.noconvert(), "sigma"_a);
  m.def("pool", &pool_images<T>, "images"_a.noconvert(), "size"_a);
  m.def("pool_vjp", &pool_images_vjp<T>, "adj"_a.noconvert(), "size"_a, "shape"_a);
}

}  // namespace

void bind_losses(nb::module_& m) {
  bind<float>(m);
  bind<double>(m);
  m.def(
      "put_loss_grid_mass",
      [](int kind, const DeviceArray& given, const DeviceArray& target, double m_ref, double outside_weight) {
        return (given.wide ? put_grid_mass_loss<double> : put_grid_mass_loss<float>)(kind, given, target, m_ref,
                                                                                     outside_weight);
      },
      "kind"_a, "m"_a, "target"_a, "m_ref"_a, "outside_weight"_a);
  m.def(
      "put_loss_kinetic",
      [](const DeviceArray& v) { return (v.wide ? put_kinetic_loss<double> : put_kinetic_loss<float>)(v); }, "v"_a);
}
