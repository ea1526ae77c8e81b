// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Operators of the losses; see mpm.cpp. Each returns the loss and its gradient.
#include <limits>

#include "tensors.hpp"

namespace {

using namespace diffmpm;
using namespace diffmpm::torch_ops;

template <class T>
std::tuple<Tensor, Tensor> value_and_adjoint(const Tensor& like, double value, const Tensor& adj) {
  Tensor out = empty<T>(like, {});
  *data<T>(out) = static_cast<T>(value);
  return {out, adj};
}

std::tuple<Tensor, Tensor> op_mass_loss(Tensor m, Tensor target, std::int64_t loss, double m_ref,
                                        double outside_weight) {
  return dispatch(m, [&]<class T>() {
    const Shape shape = shape_of(m);
    const Input<T> m_in(m, "m", shape), target_in(target, "target", shape);
    require(loss >= 0 && loss < static_cast<std::int64_t>(std::size(kMassLossNames)));
    constexpr T kMost = std::numeric_limits<T>::max();
    require(static_cast<T>(m_ref) >= std::numeric_limits<T>::min() && static_cast<T>(m_ref) <= kMost);
    require(outside_weight >= 0 && static_cast<T>(outside_weight) <= kMost);
    Tensor adj = empty<T>(m, shape);
    double value = 0;
    call(core<T>(*table).mass_loss, static_cast<MassLoss>(loss), m.numel(), m_in.data(), target_in.data(),
         static_cast<T>(m_ref), static_cast<T>(outside_weight), data<T>(adj), &value);
    return value_and_adjoint<T>(m, value, adj);
  });
}

std::tuple<Tensor, Tensor> op_kinetic_loss(Tensor v) {
  return dispatch(v, [&]<class T>() {
    const Input<T> v_in(v, "v", {kAny, 3});
    require(v.size(0) > 0);
    Tensor adj = empty<T>(v, {v.size(0), 3});
    double value = 0;
    call(core<T>(*table).kinetic_loss, v.size(0), v_in.data(), data<T>(adj), &value);
    return value_and_adjoint<T>(v, value, adj);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(diffmpm, CPU, m) {
  m.impl("mass_loss", TORCH_BOX(&op_mass_loss));
  m.impl("kinetic_loss", TORCH_BOX(&op_kinetic_loss));
}
