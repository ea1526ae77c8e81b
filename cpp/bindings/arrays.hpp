// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// What the bindings share: arrays in and out.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <initializer_list>
#include <memory>
#include <optional>

#include "diffmpm/core/memory.hpp"

namespace nb = nanobind;

template <class T>
using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
template <class T>
using Out = nb::ndarray<nb::numpy, T>;

template <class T>
const T* pointer(const std::optional<In<T>>& array) {
  return array ? array->data() : nullptr;
}

// Aligned memory as a NumPy array that owns it.
template <class T>
Out<T> hand_out(const diffmpm::Buffer<T>& buffer, std::initializer_list<std::size_t> shape) {
  auto* owner = new std::shared_ptr<void>(buffer.owner());
  nb::capsule capsule(owner, [](void* p) noexcept { delete static_cast<std::shared_ptr<void>*>(p); });
  return Out<T>(buffer.data(), shape, capsule);
}
