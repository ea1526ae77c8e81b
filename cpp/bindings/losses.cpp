// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <nanobind/stl/tuple.h>

#include <tuple>

#include "arrays.hpp"
#include "diffmpm/losses/losses.hpp"

using namespace nb::literals;
using namespace diffmpm;

namespace {

template <class T>
std::tuple<double, Made<T>> grid_mass_loss(int kind, const Given<T>& m, const Given<T>& target, double m_ref,
                                           double outside_weight) {
  const Maker<T> adj(m.on_device(), {m.shape(0), m.shape(1), m.shape(2)});
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

template <class T>
void bind(nb::module_& m) {
  m.def("loss_grid_mass", &grid_mass_loss<T>, "kind"_a, "m"_a.noconvert(), "target"_a.noconvert(), "m_ref"_a,
        "outside_weight"_a);
  m.def("loss_kinetic", &kinetic_loss<T>, "v"_a.noconvert());
}

}  // namespace

void bind_losses(nb::module_& m) {
  bind<float>(m);
  bind<double>(m);
}
