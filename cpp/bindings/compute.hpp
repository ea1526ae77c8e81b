// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "arrays.hpp"
#include "diffmpm/backend.hpp"
#include "native_call.hpp"

// A NumPy array of which fill(pointer) writes every value, without the GIL.
template <class T, class Fill>
Out<T> compute(const std::vector<std::size_t>& shape, const Fill& fill) {
  const diffmpm::Buffer<T> out(element_count(shape));
  {
    const NativeCall call;
    fill(out.data());
  }
  return to_ndarray(out, shape);
}

// The value of function(), called without the GIL.
template <class Function>
auto without_gil(const Function& function) {
  const NativeCall call;
  return function();
}

// The value of fn(backend, context) for the backend where `a` is, called without the GIL.
template <class T, class Fn>
auto call_backend(const ArrayArg<T>& a, const Fn& fn) {
  const DeviceScope scope(a.device());
  const NativeCall call;
  return fn(diffmpm::backend<T>(scope), static_cast<const diffmpm::Context&>(scope));
}

// A new array where `like` is, filled by fn(backend, context, out), called without the GIL.
template <class T, class Fn>
ArrayResult<T> filled(const ArrayArg<T>& like, std::vector<std::size_t> shape, const Fn& fn) {
  const OutputArray<T> out(like.device(), std::move(shape));
  call_backend(like, [&](const auto& b, const diffmpm::Context& c) { fn(b, c, out.data()); });
  return out.result();
}

// A number, or a DeviceArray that holds it.
using Number = std::variant<double, DeviceArray>;

// The number that compute(pointer) writes to the memory of a context, without the GIL. With `wait` also that of a device is returned
// as a number.
template <class Compute>
Number number(const diffmpm::Context& context, bool wait, const Compute& compute) {
  double value = 0;
  if (!context.on_device()) {
    const NativeCall call;
    compute(&value);
    return value;
  }
  DeviceArray on_device = new_device_array({}, nb::dtype<double>(), context.device);
  const NativeCall call;
  compute(on_device.data<double>());
  if (!wait) return on_device;
  diffmpm::cuda::devices().download(&value, on_device.memory.get(), sizeof(value), context.stream);
  return value;
}

inline std::int64_t rows(const auto& array) { return static_cast<std::int64_t>(array.shape(0)); }
