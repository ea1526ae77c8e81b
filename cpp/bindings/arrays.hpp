// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Array arguments and results of the bindings.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/variant.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "device_array.hpp"
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

// Keeps memory alive for an array.
inline nb::capsule owner_of(const std::shared_ptr<void>& memory) {
  auto* owner = new std::shared_ptr<void>(memory);
  return {owner, [](void* p) noexcept { delete static_cast<std::shared_ptr<void>*>(p); }};
}

// A buffer as a NumPy array that shares it.
template <class T>
Out<T> to_ndarray(const diffmpm::Buffer<T>& buffer, const std::vector<std::size_t>& shape) {
  return Out<T>(buffer.data(), shape.size(), shape.data(), owner_of(buffer.owner()));
}

// A vector as a NumPy array that owns it; read-only for a constant T.
template <class T>
Out<T> to_ndarray(std::vector<std::remove_const_t<T>>&& values, std::initializer_list<std::size_t> shape) {
  using Values = std::vector<std::remove_const_t<T>>;
  auto owned = std::make_unique<Values>(std::move(values));
  T* data = owned->data();
  nb::capsule owner(owned.get(), [](void* p) noexcept { delete static_cast<Values*>(p); });
  owned.release();
  return Out<T>(data, shape, owner);
}

// An argument that is a NumPy array or a DeviceArray. Other arrays and dtypes are never converted.
template <class T>
class ArrayArg {
 public:
  ArrayArg() = default;
  static constexpr std::size_t kMostAxes = 8;
  explicit ArrayArg(In<T> host) noexcept : data_(host.data()), axes_(host.ndim()), host_(std::move(host)) {
    for (std::size_t k = 0; k < axes_; ++k) shape_[k] = host_.shape(k);
  }
  explicit ArrayArg(const DeviceArray& device) noexcept
      : data_(device.data<T>()), axes_(device.shape.size()), device_(device.device), memory_(device.memory) {
    std::copy(device.shape.begin(), device.shape.end(), shape_.begin());
  }

  const T* data() const { return data_; }
  std::size_t axes() const { return axes_; }
  std::size_t shape(std::size_t axis) const { return shape_[axis]; }
  std::vector<std::size_t> shape() const { return {shape_.begin(), shape_.begin() + axes_}; }
  std::size_t size() const { return element_count({shape_.data(), axes_}); }
  int device() const { return device_; }
  bool on_device() const { return device_ != kNoDevice; }

 private:
  const T* data_ = nullptr;
  std::size_t axes_ = 0;
  std::array<std::size_t, kMostAxes> shape_{};  // no vector: casting an argument must not throw
  int device_ = kNoDevice;
  In<T> host_;
  std::shared_ptr<void> memory_;
};

template <class T>
const T* pointer(const std::optional<ArrayArg<T>>& array) {
  return array ? array->data() : nullptr;
}

template <class T>
std::int64_t count_of(const ArrayArg<T>& array) {
  return static_cast<std::int64_t>(array.size());
}

template <class T>
void check_alike(const ArrayArg<T>& a, const ArrayArg<T>& b) {
  if (a.shape() != b.shape() || a.device() != b.device())
    throw std::invalid_argument("expected arrays of one shape on one device, got others");
}

// The items of a sequence. A vector argument would be filled in a noexcept function, where a failing allocation ends the process.
template <class T>
std::vector<T> items(const nb::sequence& sequence) {
  std::vector<T> out;
  for (const nb::handle handle : sequence) {
    T item;
    if (!nb::try_cast(handle, item, false)) throw nb::next_overload();
    out.push_back(std::move(item));
  }
  return out;
}

// A result in the same memory as the arguments.
template <class T>
using ArrayResult = std::variant<Out<T>, DeviceArray>;

template <class T>
ArrayResult<T> to_ndarray(const diffmpm::Buffer<T>&, const std::vector<std::size_t>&,
                          bool) = delete;  // not the number of a device

template <class T>
ArrayResult<T> to_ndarray(const diffmpm::Buffer<T>& buffer, const std::vector<std::size_t>& shape, int device) {
  if (device == kNoDevice) return to_ndarray(buffer, shape);
  return DeviceArray{buffer.owner(), shape, nb::dtype<T>(), device};
}

template <class T>
class OutputArray {
 public:
  OutputArray(int device, std::vector<std::size_t> shape) : device_(device), shape_(std::move(shape)) {
    if (device_ != kNoDevice) {
      on_device_ = new_device_array(shape_, nb::dtype<T>(), device_);
    } else {
      host_ = diffmpm::Buffer<T>(element_count(shape_));
    }
  }
  OutputArray(bool, std::vector<std::size_t>) = delete;  // not the number of a device
  T* data() const { return device_ != kNoDevice ? on_device_.data<T>() : host_.data(); }
  ArrayResult<T> result() const {
    if (device_ != kNoDevice) return on_device_;
    return to_ndarray(host_, shape_);
  }

 private:
  int device_;
  std::vector<std::size_t> shape_;
  DeviceArray on_device_;
  diffmpm::Buffer<T> host_;
};

namespace nanobind::detail {

template <class T>
struct type_caster<ArrayArg<T>> {
  NB_TYPE_CASTER(ArrayArg<T>, make_caster<In<T>>::Name + const_name(" | DeviceArray"))

  bool from_python(handle src, std::uint8_t flags, cleanup_list* cleanup) noexcept {
    if (isinstance<DeviceArray>(src)) {
      const auto& array = *inst_ptr<DeviceArray>(src);
      if (!array.template holds<T>() || array.shape.size() > ArrayArg<T>::kMostAxes) return false;
      value = ArrayArg<T>(array);
      return true;
    }
    make_caster<In<T>> host;
    if (!host.from_python(src, static_cast<std::uint8_t>(flags & ~cast_flags::convert), cleanup) ||
        host.value.ndim() > ArrayArg<T>::kMostAxes)
      return false;
    value = ArrayArg<T>(std::move(host.value));
    return true;
  }
};

}  // namespace nanobind::detail
