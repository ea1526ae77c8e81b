// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "table.hpp"

// Tensors in and out of the operators: checks, dispatch by dtype, memory of the core, and owners of what an adjoint needs.

namespace diffmpm::torch_ops {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Shape = std::vector<std::int64_t>;
using MaybeTensor = std::optional<Tensor>;

extern const Table* table;  // set once, before any operator runs
inline const torch::stable::Device kCpu(torch::headeronly::DeviceType::CPU);

// The text ends in [cause particle step], from which Python makes the exception of the same name.
[[noreturn]] inline void fail(const Failure& failure) {
  throw std::runtime_error("diffmpm: " + failure.what + " [" + failure.cause + " " + std::to_string(failure.particle) +
                           " " + std::to_string(failure.step) + "]");
}

[[noreturn]] inline void refuse(const std::string& what) { fail({"argument", what}); }

inline void check(const Failure& failure) {
  if (!failure.cause.empty()) fail(failure);
}

// Calls work.template operator()<T>() with the scalar type of a tensor.
template <class Work>
auto dispatch(const Tensor& t, const Work& work) {
  if (t.scalar_type() == ScalarType::Float) return work.template operator()<float>();
  if (t.scalar_type() == ScalarType::Double) return work.template operator()<double>();
  refuse("expected float32 or float64 tensors");
}

// A contiguous input of the scalar type T; keeps what it points into.
template <class T>
class Input {
 public:
  Input(const Tensor& t, const char* name) : tensor_(t.is_contiguous() ? t : torch::stable::contiguous(t)) {
    constexpr ScalarType kType = std::is_same_v<T, float> ? ScalarType::Float : ScalarType::Double;
    if (!t.is_cpu() || t.scalar_type() != kType) refuse(std::string(name) + ": expected a CPU tensor of one dtype");
  }
  Input(const MaybeTensor& t, const char* name) {
    if (t) *this = Input(*t, name);
  }
  const T* data() const { return tensor_ ? tensor_->const_data_ptr<T>() : nullptr; }

 private:
  MaybeTensor tensor_;
};

template <class T>
T* data(const Tensor& t) {
  return t.numel() > 0 ? t.mutable_data_ptr<T>() : nullptr;
}

inline Shape row_major(const Shape& shape) {
  Shape strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t n = shape.size(); n-- > 0; stride *= shape[n]) strides[n] = stride;
  return strides;
}

inline constexpr std::size_t kPooledFrom = std::size_t{1} << 16;  // bytes; smaller tensors are cheaper from PyTorch

// An uninitialised tensor of the dtype of another.
inline Tensor empty(const Tensor& like, const Shape& shape) {
  std::size_t bytes = like.scalar_type() == ScalarType::Float ? sizeof(float) : sizeof(double);
  for (const std::int64_t size : shape) bytes *= static_cast<std::size_t>(size);
  if (bytes < kPooledFrom) return torch::stable::new_empty(like, shape);
  const std::shared_ptr<void> memory = table->allocate(bytes);
  return torch::stable::from_blob(memory.get(), shape, row_major(shape), kCpu, like.scalar_type(), [memory](void*) {});
}

// An owner is a tensor whose storage owns what the adjoint of an operator needs. It is found by its address, so a copy is
// none; `kind` tells a rollout from a rasterization, and float from double.
struct Owner {
  std::int64_t content[2];
  std::shared_ptr<void> object;
  const void* kind;
};

template <class Object>
inline constexpr char kKind = 0;

inline std::mutex owners_busy;
inline std::map<const void*, const Owner*>& owners() {
  static auto* const all = new std::map<const void*, const Owner*>;  // storages may outlive what this library destroys
  return *all;
}

template <class Object>
Tensor own(std::shared_ptr<Object> object, std::int64_t first, std::int64_t second) {
  auto* const owner = new Owner{{first, second}, std::move(object), &kKind<Object>};
  {
    const std::lock_guard lock(owners_busy);
    owners()[owner->content] = owner;
  }
  const std::int64_t sizes[1] = {2}, strides[1] = {1};
  return torch::stable::from_blob(owner->content, {sizes, 1}, {strides, 1}, kCpu, ScalarType::Long,
                                  [owner](void* data) {
                                    {
                                      const std::lock_guard lock(owners_busy);
                                      owners().erase(data);
                                    }
                                    delete owner;
                                  });
}

// Null where the operator was told to keep nothing.
template <class Object>
std::shared_ptr<Object> owned(const Tensor& tensor) {
  const std::lock_guard lock(owners_busy);
  const auto found = owners().find(tensor.const_data_ptr<std::int64_t>());
  if (found == owners().end())
    refuse(
        "trajectory: expected the tensor that the operator returned, got a copy of it, which does not hold the states; "
        "do not copy or move saved tensors of this operator");
  if (found->second->kind != &kKind<Object>) refuse("trajectory: expected one of the same operator and dtype");
  return std::static_pointer_cast<Object>(found->second->object);
}

// A tensor on memory of the core.
template <class T>
Tensor hand_out(const Buffer<T>& buffer, const Shape& shape) {
  constexpr ScalarType kType = std::is_same_v<T, float>    ? ScalarType::Float
                               : std::is_same_v<T, double> ? ScalarType::Double
                                                           : ScalarType::Long;
  return torch::stable::from_blob(buffer.data(), shape, row_major(shape), kCpu, kType,
                                  [memory = buffer.owner()](void*) {});
}

}  // namespace diffmpm::torch_ops
