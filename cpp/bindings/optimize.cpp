// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "arrays.hpp"
#include "diffmpm/optimize/adam.hpp"
#include "native_call.hpp"

using namespace nb::literals;
using namespace diffmpm;

namespace {

template <class T>
std::int64_t size_of(const ArrayArg<T>& a) {
  return static_cast<std::int64_t>(a.size());
}

template <class T>
void check_alike(const ArrayArg<T>& a, const ArrayArg<T>& b) {
  if (a.shape() != b.shape() || a.device() != b.device())
    throw std::invalid_argument("expected arrays of one shape on one device, got others");
}

template <class T>
std::pair<double, double> unit_scale(const ArrayArg<T>& g) {
  const DeviceScope scope(g.device());
  const NativeCall call;
  const optimize::Scale scale = g.on_device() ? cuda::unit_scale(size_of(g), g.data(), scope.stream())
                                              : optimize::unit_scale(size_of(g), g.data());
  return {scale.largest, scale.factor};
}

template <class T>
std::int64_t count_not_finite(const In<T>& a) {
  const NativeCall call;
  return optimize::count_not_finite(static_cast<std::int64_t>(a.size()), a.data());
}

template <class T>
ArrayResult<T> descend(const ArrayArg<T>& a, double step, const ArrayArg<T>& d) {
  check_alike(a, d);
  const DeviceScope scope(a.device());
  const OutputArray<T> out(a.device(), a.shape());
  const optimize::DescendItem<T> item{size_of(a), static_cast<T>(step), a.data(), d.data(), out.data()};
  {
    const NativeCall call;
    if (a.on_device()) {
      cuda::descend(item, scope.stream());
    } else {
      optimize::descend(item);
    }
  }
  return out.result();
}

template <class T>
std::tuple<ArrayResult<T>, ArrayResult<T>, ArrayResult<T>> adam(const ArrayArg<T>& g,
                                                                const std::optional<ArrayArg<T>>& mean,
                                                                const std::optional<ArrayArg<T>>& square, double beta1,
                                                                double beta2, double eps, std::int64_t step,
                                                                const std::optional<double>& rms) {
  if (mean.has_value() != square.has_value() || step < 1)
    throw std::invalid_argument("adam: expected both moments or none, and a step above 0, got others");
  if (mean) check_alike(g, *mean), check_alike(g, *square);
  const DeviceScope scope(g.device());
  const OutputArray<T> direction(g.device(), g.shape()), new_mean(g.device(), g.shape()),
      new_square(g.device(), g.shape());
  {
    const NativeCall call;
    optimize::AdamItem<T> item{};
    item.count = size_of(g), item.gradient = g.data();
    item.old_mean = pointer(mean), item.old_square = pointer(square);
    item.mean = new_mean.data(), item.square = new_square.data(), item.direction = direction.data();
    item.beta1 = static_cast<T>(beta1), item.rest1 = static_cast<T>(1 - beta1);
    item.beta2 = static_cast<T>(beta2), item.rest2 = static_cast<T>(1 - beta2), item.eps = static_cast<T>(eps);
    const auto power = static_cast<double>(step);
    item.mean_factor = static_cast<T>(1 / (1 - std::pow(beta1, power)));
    item.square_factor = static_cast<T>(std::pow(1 - std::pow(beta2, power), -0.5));
    item.normalize = rms.has_value();
    if (rms) {
      const optimize::Scale scale = g.on_device() ? cuda::unit_scale(item.count, g.data(), scope.stream())
                                                  : optimize::unit_scale(item.count, g.data());
      const bool zero = scale.largest == 0;
      item.largest = zero ? T(1) : static_cast<T>(scale.largest);
      item.unit = zero ? T(1) : static_cast<T>(scale.factor), item.reference = static_cast<T>(*rms);
    }
    if (g.on_device()) {
      cuda::adam(item, scope.stream());
    } else {
      optimize::adam(item);
    }
  }
  return {direction.result(), new_mean.result(), new_square.result()};
}

template <class T>
void bind(nb::module_& m) {
  m.def("unit_scale", &unit_scale<T>, "g"_a.noconvert(),
        "Largest absolute value, and the factor that brings the root mean square of g / largest to 1; 0, 0 for zeros.");
  m.def("count_not_finite", &count_not_finite<T>, "array"_a.noconvert());
  m.def("descend", &descend<T>, "a"_a.noconvert(), "step"_a, "d"_a.noconvert(), "a - step d.");
  m.def("adam", &adam<T>, "gradient"_a.noconvert(), "mean"_a.noconvert().none(), "square"_a.noconvert().none(),
        "beta1"_a, "beta2"_a, "eps"_a, "step"_a, "rms"_a.none(),
        "Direction, mean and mean square of a step of Adam, on the gradient brought to a root mean square if one is "
        "given.");
}

}  // namespace

void bind_optimize(nb::module_& m) {
  bind<float>(m);
  bind<double>(m);
}
