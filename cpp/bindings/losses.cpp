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
std::tuple<double, Out<T>> grid_mass_loss(int kind, const In<T>& m, const In<T>& target, double m_ref,
                                          double outside_weight) {
  const Buffer<T> adj(m.size());
  double value = 0;
  {
    const nb::gil_scoped_release release;
    value = loss_grid_mass(static_cast<MassLoss>(kind), static_cast<std::int64_t>(m.size()), m.data(), target.data(),
                           static_cast<T>(m_ref), static_cast<T>(outside_weight), adj.data());
  }
  return {value, hand_out(adj, {m.shape(0), m.shape(1), m.shape(2)})};
}

template <class T>
std::tuple<double, Out<T>> kinetic_loss(const In<T>& v) {
  const Buffer<T> adj(v.size());
  double value = 0;
  {
    const nb::gil_scoped_release release;
    value = loss_kinetic(static_cast<std::int64_t>(v.shape(0)), v.data(), adj.data());
  }
  return {value, hand_out(adj, {v.shape(0), 3})};
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
