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

// Refusals have the words of `checked` in python/diffmpm/torch/_checks.py, which checks the same for the operators in Python.

inline std::string dtype_name(ScalarType type) {
  switch (type) {
    case ScalarType::Float: return "torch.float32";
    case ScalarType::Double: return "torch.float64";
    case ScalarType::Half: return "torch.float16";
    case ScalarType::BFloat16: return "torch.bfloat16";
    case ScalarType::Byte: return "torch.uint8";
    case ScalarType::Char: return "torch.int8";
    case ScalarType::Short: return "torch.int16";
    case ScalarType::Int: return "torch.int32";
    case ScalarType::Long: return "torch.int64";
    case ScalarType::Bool: return "torch.bool";
    case ScalarType::ComplexFloat: return "torch.complex64";
    case ScalarType::ComplexDouble: return "torch.complex128";
    default: return "another dtype";
  }
}

inline constexpr std::int64_t kAny = -1;  // in an expected shape

inline std::string shape_text(const Shape& shape) {
  std::string text = "(";
  for (std::size_t k = 0; k < shape.size(); ++k)
    text += (k > 0 ? ", " : "") + (shape[k] == kAny ? "N" : std::to_string(shape[k]));
  return text + (shape.size() == 1 ? ",)" : ")");
}

inline Shape shape_of(const Tensor& t) {
  Shape shape(static_cast<std::size_t>(t.dim()));
  for (std::size_t k = 0; k < shape.size(); ++k) shape[k] = t.size(static_cast<std::int64_t>(k));
  return shape;
}

// Refuses integers below `least`; all counts of an operator that have no other limit.
inline void check_integer(std::int64_t value, const char* name, std::int64_t least) {
  if (value < least)
    refuse(std::string(name) + ": expected an integer >= " + std::to_string(least) + ", got " + std::to_string(value));
}

inline void check_range(std::int64_t value, const char* name, std::int64_t least, std::int64_t most) {
  if (value < least || value > most)
    refuse(std::string(name) + ": expected an integer from " + std::to_string(least) + " to " + std::to_string(most) +
           ", got " + std::to_string(value));
}

// All dtypes but those of `dispatch`.
[[noreturn]] inline void refuse_dtype(const Tensor& t, const char* name) {
  refuse(std::string(name) + ": expected torch.float32 or torch.float64, got " + dtype_name(t.scalar_type()) +
         "; pass " + name + ".float()");
}

inline void check_place(const Tensor& t, const char* name) {
  if (!t.defined()) refuse(std::string(name) + ": expected a tensor, got an undefined one");
  if (!t.is_cpu())
    refuse(std::string(name) + ": expected a CPU tensor, got one elsewhere; pass " + std::string(name) + ".cpu()");
}

// Calls work.template operator()<T>() with the scalar type of an operator's first tensor.
template <class Work>
auto dispatch(const Tensor& t, const char* name, const Work& work) {
  check_place(t, name);
  if (t.scalar_type() == ScalarType::Float) return work.template operator()<float>();
  if (t.scalar_type() == ScalarType::Double) return work.template operator()<double>();
  refuse_dtype(t, name);
}

// A contiguous input of the scalar type T and of a shape; keeps what it points into. `of` names the tensor whose dtype it has to
// have, null where its dtype is always the same.
template <class T>
class Input {
 public:
  Input() = default;
  Input(const Tensor& t, const char* name, const Shape& shape, const char* of = "x") {
    constexpr ScalarType kType = std::is_same_v<T, float>    ? ScalarType::Float
                                 : std::is_same_v<T, double> ? ScalarType::Double
                                                             : ScalarType::Int;
    check_place(t, name);
    if (of && t.scalar_type() != ScalarType::Float && t.scalar_type() != ScalarType::Double) refuse_dtype(t, name);
    if (t.scalar_type() != kType)
      refuse(std::string(name) + ": expected " + dtype_name(kType) + (of ? ", the dtype of " + std::string(of) : "") +
             ", got " + dtype_name(t.scalar_type()) + "; pass " + name + ".to(" +
             (of ? std::string(of) + ".dtype" : dtype_name(kType)) + ")");
    bool fits = static_cast<std::size_t>(t.dim()) == shape.size();
    for (std::size_t k = 0; fits && k < shape.size(); ++k)
      fits = shape[k] == kAny || t.size(static_cast<std::int64_t>(k)) == shape[k];
    if (!fits) refuse(std::string(name) + ": expected shape " + shape_text(shape) + ", got " + shape_text(shape_of(t)));
    tensor_ = t.is_contiguous() ? t : torch::stable::contiguous(t);
  }
  Input(const MaybeTensor& t, const char* name, const Shape& shape, const char* of = "x") {
    if (t) *this = Input(*t, name, shape, of);
  }
  const T* data() const { return tensor_ ? tensor_->const_data_ptr<T>() : nullptr; }
  std::int64_t size(std::int64_t axis) const { return tensor_->size(axis); }
  bool given() const { return tensor_.has_value(); }

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

inline constexpr double kMostBytes = 0x1p53;  // which double counts exactly, and no machine has

// An uninitialised tensor of the dtype of another.
inline Tensor empty(const Tensor& like, const Shape& shape) {
  const std::size_t width = like.scalar_type() == ScalarType::Float ? sizeof(float) : sizeof(double);
  double bytes = static_cast<double>(width);
  for (const std::int64_t size : shape) bytes *= static_cast<double>(size);
  if (bytes < kPooledFrom) return torch::stable::new_empty(like, shape);
  const std::shared_ptr<void> memory = bytes < kMostBytes ? table->allocate(static_cast<std::size_t>(bytes)) : nullptr;
  if (!memory) fail({"memory", "result: expected a shape that fits into memory, got " + shape_text(shape)});
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

// Null where the operator was told to keep nothing. What the tensor holds is not read again: anybody may have changed it.
template <class Object>
std::shared_ptr<Object> owned(const Tensor& tensor) {
  check_place(tensor, "trajectory");
  const std::lock_guard lock(owners_busy);
  const auto found = owners().find(tensor.const_data_ptr());
  if (found == owners().end())
    refuse(
        "trajectory: expected the tensor that the operator returned, got a copy of it, which does not hold the states; "
        "do not copy or move saved tensors of this operator");
  if (found->second->kind != &kKind<Object>)
    refuse("trajectory: expected one of the same operator and dtype, got another");
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
