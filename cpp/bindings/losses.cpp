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
  const Maker<T> adj(m.on_device(), m.lengths());
  const auto which = static_cast<MassLoss>(kind);
  const auto count = static_cast<std::int64_t>(m.size());
  const T reference = static_cast<T>(m_ref), outside = static_cast<T>(outside_weight);
  void* const stream = current_stream();
  double value = 0;
  {
    const nb::gil_scoped_release release;
    value = m.on_device()
                ? cuda::loss_grid_mass(which, count, m.data(), target.data(), reference, outside, adj.data(), stream)
                : loss_grid_mass(which, count, m.data(), target.data(), reference, outside, adj.data());
  }
  return {value, adj.result()};
}

template <class T>
std::tuple<double, Made<T>> kinetic_loss(const Given<T>& v) {
  const Maker<T> adj(v.on_device(), {v.shape(0), 3});
  const auto count = static_cast<std::int64_t>(v.shape(0));
  void* const stream = current_stream();
  double value = 0;
  {
    const nb::gil_scoped_release release;
    value = v.on_device() ? cuda::loss_kinetic(count, v.data(), adj.data(), stream)
                          : loss_kinetic(count, v.data(), adj.data());
  }
  return {value, adj.result()};
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
  const Maker<T> out(in.on_device(), in.shape());
  const Size s(in.shape());
  void* const stream = current_stream();
  {
    const nb::gil_scoped_release release;
    in.on_device() ? cuda::blur(s.count, s.height, s.width, sigma, in.data(), out.data(), stream)
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
  const Maker<T> out(in.on_device(), std::move(shape));
  in.on_device() ? cuda::pool(s.count, s.height, s.width, size, in.data(), out.data(), current_stream())
                 : pool(s.count, s.height, s.width, size, in.data(), out.data());
  return out.result();
}

template <class T>
Made<T> pool_images_vjp(const Given<T>& adj, int size, const std::vector<std::size_t>& shape) {
  const Size s(shape);
  const Maker<T> out(adj.on_device(), shape);
  adj.on_device() ? cuda::pool_vjp(s.count, s.height, s.width, size, adj.data(), out.data(), current_stream())
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
}
