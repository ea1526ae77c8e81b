// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Arithmetic on arrays of any shape, and the directions of the optimisers.
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
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

using namespace nb::literals;
using namespace diffmpm;

namespace {

using Rows = ArrayArg<std::int32_t>;

template <class T>
double dot(const ArrayArg<T>& a, const ArrayArg<T>& b) {
  check_alike(a, b);
  return call_backend(
      a, [&](const auto& core, const Context& c) { return core.arrays.dot(c, count_of(a), a.data(), b.data()); });
}

template <class T>
double norm(const ArrayArg<T>& a) {
  return call_backend(a, [&](const auto& core, const Context& c) { return core.arrays.norm(c, count_of(a), a.data()); })
      .value();
}

template <class T>
std::pair<double, double> value_range(const ArrayArg<T>& a) {
  const Range range =
      call_backend(a, [&](const auto& core, const Context& c) { return core.arrays.range(c, count_of(a), a.data()); });
  return {range.low, range.high};
}

template <class T>
std::int64_t count_not_finite(const ArrayArg<T>& a) {
  return call_backend(
      a, [&](const auto& core, const Context& c) { return core.arrays.count_not_finite(c, count_of(a), a.data()); });
}

template <class T>
std::array<std::int64_t, 4> count_invalid_properties(const ArrayArg<T>& mass, const ArrayArg<T>& volume,
                                                     const ArrayArg<T>& lam, const ArrayArg<T>& mu) {
  check_alike(mass, volume), check_alike(mass, lam), check_alike(mass, mu);
  const InvalidProperties count = call_backend(mass, [&](const auto& core, const Context& c) {
    return core.arrays.count_invalid(c, count_of(mass), mass.data(), volume.data(), lam.data(), mu.data());
  });
  return {count.mass, count.volume, count.lam, count.mu};
}

template <class T>
ArrayResult<T> zeros(const ArrayArg<T>& like, const std::vector<std::size_t>& shape) {
  const auto count = static_cast<std::int64_t>(element_count(shape));
  return filled(like, shape, [&](const auto& core, const Context& c, T* out) { core.arrays.clear(c, count, out); });
}

template <class T>
ArrayResult<T> scaled(const ArrayArg<T>& a, double factor, double divisor) {
  return filled(a, a.shape(), [&](const auto& core, const Context& c, T* out) {
    core.arrays.scale(c, {count_of(a), a.data(), {static_cast<T>(divisor), static_cast<T>(factor)}, out});
  });
}

template <class T>
ArrayResult<T> add_scaled(const ArrayArg<T>& a, double factor, const ArrayArg<T>& b, std::optional<std::size_t> row) {
  std::int64_t first = 0;
  if (row) {
    if (a.axes() == 0 || *row >= a.shape(0) || a.device() != b.device() || count_of(a) != count_of(b) * a.shape(0))
      throw std::invalid_argument("add_scaled: expected one row of the array, on its device, got another shape");
    first = static_cast<std::int64_t>(*row) * count_of(b);
  } else {
    check_alike(a, b);
  }
  return filled(a, a.shape(), [&](const auto& core, const Context& c, T* out) {
    if (row) core.arrays.copy(c, count_of(a), a.data(), out);
    core.arrays.add_scaled(c, {count_of(b), a.data() + first, static_cast<T>(factor), b.data(), out + first});
  });
}

template <class T>
ArrayResult<T> ratio(const ArrayArg<T>& a, const ArrayArg<T>& b) {
  check_alike(a, b);
  return filled(a, a.shape(), [&](const auto& core, const Context& c, T* out) {
    core.arrays.ratio(c, {count_of(a), a.data(), b.data(), out});
  });
}

template <class T>
std::pair<ArrayResult<T>, ArrayResult<T>> ratio_vjp(const ArrayArg<T>& a, const ArrayArg<T>& b,
                                                    const ArrayArg<T>& adj) {
  check_alike(a, b), check_alike(a, adj);
  const OutputArray<T> adj_a(a.device(), a.shape()), adj_b(a.device(), a.shape());
  call_backend(a, [&](const auto& core, const Context& c) {
    for (const auto* out : {&adj_a, &adj_b}) core.arrays.clear(c, count_of(a), out->data());
    core.arrays.ratio_vjp(c, {count_of(a), a.data(), b.data(), adj.data(), adj_a.data(), adj_b.data()});
  });
  return {adj_a.result(), adj_b.result()};
}

// The shape of `count` rows of an array. The indices of `rows` are the caller's to check.
template <class T>
std::vector<std::size_t> rows_shape(const ArrayArg<T>& a, std::size_t count) {
  std::vector<std::size_t> shape = a.shape();
  if (shape.empty()) throw std::invalid_argument("expected an array with rows, got a single value");
  shape[0] = count;
  return shape;
}

template <class T>
std::int64_t row_width(const ArrayArg<T>& a) {
  return a.shape(0) ? count_of(a) / static_cast<std::int64_t>(a.shape(0)) : 0;
}

template <class T>
ArrayResult<T> take_rows(const ArrayArg<T>& a, const Rows& rows) {
  const std::int64_t width = row_width(a);
  return filled(a, rows_shape(a, rows.size()), [&](const auto& core, const Context& c, T* out) {
    core.arrays.take_rows(c, {count_of(rows) * width, width, rows.data(), a.data(), out});
  });
}

template <class T>
ArrayResult<T> add_rows(const ArrayArg<T>& a, const Rows& rows, const ArrayArg<T>& values) {
  if (values.shape() != rows_shape(a, rows.size()) || a.device() != values.device())
    throw std::invalid_argument("add_rows: expected a row of values for each row, on the same device, got others");
  return filled(a, a.shape(), [&](const auto& core, const Context& c, T* out) {
    core.arrays.copy(c, count_of(a), a.data(), out);
    core.arrays.add_rows(c, {count_of(values), row_width(a), rows.data(), values.data(), out});
  });
}

template <class T>
ArrayResult<T> concatenate(const ArrayArg<T>& a, const ArrayArg<T>& b) {
  if (rows_shape(b, 0) != rows_shape(a, 0) || a.device() != b.device())
    throw std::invalid_argument("concatenate: expected rows of one shape on one device, got others");
  return filled(a, rows_shape(a, a.shape(0) + b.shape(0)), [&](const auto& core, const Context& c, T* out) {
    core.arrays.copy(c, count_of(a), a.data(), out);
    core.arrays.copy(c, count_of(b), b.data(), out + count_of(a));
  });
}

template <class T>
ArrayResult<T> scale_to_rms(const ArrayArg<T>& g, double rms) {
  return filled(g, g.shape(), [&](const auto&, const Context& c, T* out) {
    optimize::scale_to_rms(c, count_of(g), g.data(), rms, out);
  });
}

template <class T>
std::tuple<ArrayResult<T>, ArrayResult<T>, ArrayResult<T>> adam(const ArrayArg<T>& g,
                                                                const std::optional<ArrayArg<T>>& mean,
                                                                const std::optional<ArrayArg<T>>& square, double beta1,
                                                                double beta2, double eps, std::int64_t step,
                                                                double rms) {
  if (mean.has_value() != square.has_value() || step < 1)
    throw std::invalid_argument("adam: expected both moments or none, and a step above 0, got others");
  if (mean) check_alike(g, *mean), check_alike(g, *square);
  const OutputArray<T> direction(g.device(), g.shape()), new_mean(g.device(), g.shape()),
      new_square(g.device(), g.shape());
  call_backend(g, [&](const auto&, const Context& c) {
    optimize::adam(c, count_of(g), {beta1, beta2, eps, step, rms}, g.data(), pointer(mean), pointer(square),
                   new_mean.data(), new_square.data(), direction.data());
  });
  return {direction.result(), new_mean.result(), new_square.result()};
}

template <class T>
ArrayResult<T> lbfgs(const ArrayArg<T>& g, const nb::sequence& steps, const nb::sequence& changes) {
  const auto s = items<ArrayArg<T>>(steps), y = items<ArrayArg<T>>(changes);
  if (s.empty() || s.size() != y.size())
    throw std::invalid_argument("lbfgs: expected at least one step and as many changes, got others");
  std::vector<optimize::LbfgsPair<T>> pairs;
  for (std::size_t n = 0; n < s.size(); ++n) {
    check_alike(g, s[n]), check_alike(g, y[n]);
    pairs.push_back({s[n].data(), y[n].data()});
  }
  return filled(g, g.shape(),
                [&](const auto&, const Context& c, T* out) { optimize::lbfgs(c, count_of(g), pairs, g.data(), out); });
}

template <class T>
void bind(nb::module_& m) {
  m.def("dot", &dot<T>, "a"_a, "b"_a, "Sum of the products, in float64.");
  m.def("norm", &norm<T>, "a"_a, "L2 norm.");
  m.def("value_range", &value_range<T>, "a"_a, "Minimum and maximum; NaN if a value is.");
  m.def("count_not_finite", &count_not_finite<T>, "a"_a, "Number of NaN and infinite values.");
  m.def("count_invalid_properties", &count_invalid_properties<T>, "mass"_a, "volume"_a, "lam"_a, "mu"_a,
        "Number of values of each array that are not finite or have the wrong sign.");
  m.def("zeros", &zeros<T>, "like"_a, "shape"_a, "Zeros with the dtype and device of `like`.");
  m.def("scaled", &scaled<T>, "a"_a, "factor"_a, "divisor"_a = 1.0, "a / divisor * factor.");
  m.def("add_scaled", &add_scaled<T>, "a"_a, "factor"_a, "b"_a, "row"_a = nb::none(),
        "a + factor b; with `row`, to that row of `a` alone.");
  m.def("ratio", &ratio<T>, "a"_a, "b"_a, "a / b for b >= 0, 0 where both are 0.");
  m.def("ratio_vjp", &ratio_vjp<T>, "a"_a, "b"_a, "adj"_a, "Cotangents of a and b of `ratio`.");
  m.def("take_rows", &take_rows<T>, "a"_a, "rows"_a, "a[rows]; the indices are not checked.");
  m.def("add_rows", &add_rows<T>, "a"_a, "rows"_a, "values"_a,
        "Copy of `a` with values added to distinct rows; the indices are not checked.");
  m.def("concatenate", &concatenate<T>, "a"_a, "b"_a, "Join along the first axis.");
  m.def("scale_to_rms", &scale_to_rms<T>, "gradient"_a, "rms"_a,
        "The gradient scaled to a root mean square; zeros stay zeros.");
  m.def("adam", &adam<T>, "gradient"_a, "mean"_a.none(), "square"_a.none(), "beta1"_a, "beta2"_a, "eps"_a, "step"_a,
        "rms"_a,
        "Direction, mean and mean square of a step of Adam, after the gradient is scaled to `rms` (0: not scaled).");
  m.def("lbfgs", &lbfgs<T>, "gradient"_a, "steps"_a, "changes"_a,
        "Direction of L-BFGS from steps and gradient changes, oldest first.");
}

}  // namespace

void bind_optimize(nb::module_& m) {
  bind<float>(m);
  bind<double>(m);
}
