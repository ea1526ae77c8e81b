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
#include <type_traits>
#include <utility>
#include <vector>

#include "table.hpp"

// Arguments and results of the operators: checks, dispatch by dtype, memory, and tensors that own the state of an adjoint. An argument
// that python/diffmpm/torch can check without that state is refused without words: Python checks it again and says what is wrong.

#if defined(DIFFMPM_EMULATE_CUDA)
// The device whose tensors CPU tensors stand for in tests, or kNoDevice.
extern "C" __attribute__((visibility("default"))) std::int32_t diffmpm_emulated_device;
#endif

namespace diffmpm::torch_ops {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Shape = std::vector<std::int64_t>;
using MaybeTensor = std::optional<Tensor>;

extern const Table* table;  // set once, before any operator runs
// Stores PyTorch's current stream of a CUDA device; null in builds of PyTorch without CUDA.
extern std::int32_t (*current_stream)(std::int32_t device, void** stream);
inline const torch::stable::Device kCpu(torch::headeronly::DeviceType::CPU);

// The text ends in [cause particle step], from which Python makes the exception.
[[noreturn]] inline void fail(const Failure& failure) {
  throw std::runtime_error("diffmpm: " + failure.what + " [" + failure.cause + " " + std::to_string(failure.particle) +
                           " " + std::to_string(failure.step) + "]");
}

[[noreturn]] inline void refuse(const std::string& what) { fail({"argument", what}); }

// For what Python checks.
inline void require(bool good) {
  if (!good) fail({"check", "expected other arguments; call the operator outside of inference mode to see which"});
}

// Calls an entry of the table and throws its failure.
template <class R, class... P, class... A>
R call(R (*entry)(P...), A&&... args) {
  Failure failure;
  const auto check = [&] {
    if (!failure.cause.empty()) fail(failure);
  };
  if constexpr (std::is_void_v<R>) {
    entry(std::forward<A>(args)..., failure), check();
  } else {
    R result = entry(std::forward<A>(args)..., failure);
    check();
    return result;
  }
}

template <class T>
inline constexpr ScalarType kScalarType = std::is_same_v<T, float>          ? ScalarType::Float
                                          : std::is_same_v<T, double>       ? ScalarType::Double
                                          : std::is_same_v<T, std::int32_t> ? ScalarType::Int
                                                                            : ScalarType::Long;

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

// CUDA device of a tensor, or kNoDevice.
inline std::int32_t device_of(const Tensor& t) {
#if defined(DIFFMPM_EMULATE_CUDA)
  static_cast<void>(t);
  return diffmpm_emulated_device;
#else
  return t.defined() && t.is_cuda() ? t.get_device_index() : kNoDevice;
#endif
}

// Where PyTorch runs calls on a device.
inline Context context_on(std::int32_t device) {
  Context context{device};
  if (context.on_device() && (!current_stream || current_stream(device, &context.stream) != 0))
    fail({"device", "CUDA: expected a PyTorch with CUDA, got one without a current stream"});
  return context;
}

inline void check_device(const Tensor& t, std::int32_t device = kNoDevice) {
  require(t.defined() && (device == kNoDevice ? t.is_cpu() : device_of(t) == device));
}

// Calls work.template operator()<T>() with the scalar type of an operator's first tensor.
template <class Work>
auto dispatch(const Tensor& t, const Work& work, std::int32_t device = kNoDevice) {
  check_device(t, device);
  require(t.scalar_type() == ScalarType::Float || t.scalar_type() == ScalarType::Double);
  if (t.scalar_type() == ScalarType::Float) return work.template operator()<float>();
  return work.template operator()<double>();
}

// A contiguous input of the scalar type T and of a shape on a device, which keeps its memory alive.
template <class T>
class Input {
 public:
  Input() = default;
  Input(const Tensor& t, const char* name, const Shape& shape, std::int32_t device = kNoDevice) {
    check_device(t, device);
    require(t.scalar_type() == kScalarType<T>);
    bool fits = static_cast<std::size_t>(t.dim()) == shape.size();
    for (std::size_t k = 0; fits && k < shape.size(); ++k)
      fits = shape[k] == kAny || t.size(static_cast<std::int64_t>(k)) == shape[k];
    if (!fits) refuse(std::string(name) + ": expected shape " + shape_text(shape) + ", got " + shape_text(shape_of(t)));
    tensor_ = t.is_contiguous() ? t : torch::stable::contiguous(t);
  }
  Input(const MaybeTensor& t, const char* name, const Shape& shape, std::int32_t device = kNoDevice) {
    if (t) *this = Input(*t, name, shape, device);
  }
  const T* data() const { return tensor_ ? tensor_->const_data_ptr<T>() : nullptr; }
  std::int64_t size(std::int64_t axis) const { return tensor_->size(axis); }
  explicit operator bool() const { return tensor_.has_value(); }

 private:
  MaybeTensor tensor_;
};

template <class T>
T* data(const Tensor& t) {
  return t.numel() > 0 ? t.mutable_data_ptr<T>() : nullptr;
}

// A tensor on memory that `memory` keeps alive.
template <class T>
Tensor tensor_on(std::shared_ptr<void> memory, const Shape& shape, const torch::stable::Device& device = kCpu) {
  Shape strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t n = shape.size(); n-- > 0; stride *= shape[n]) strides[n] = stride;
  void* const first = memory.get();
  return torch::stable::from_blob(first, shape, strides, device, kScalarType<T>,
                                  [memory = std::move(memory)](void*) {});
}

template <class T>
Tensor tensor_on(const Buffer<T>& buffer, const Shape& shape, const torch::stable::Device& device) {
  return tensor_on<T>(buffer.owner(), shape, device);
}

inline constexpr double kPooledFrom = 1 << 16;  // bytes; smaller tensors are cheaper from PyTorch
inline constexpr double kMostBytes = 0x1p53;    // double counts exactly up to here, and no machine has as many

// An uninitialised tensor on the device of `like`.
template <class T>
Tensor empty(const Tensor& like, const Shape& shape) {
  double bytes = sizeof(T);
  for (const std::int64_t size : shape) bytes *= static_cast<double>(size);
  if (const std::int32_t device = device_of(like); device != kNoDevice) {
    for (int attempt = 0; attempt < 2; ++attempt) {
      try {
        return torch::stable::new_empty(like, shape, kScalarType<T>);
      } catch (const std::runtime_error&) {  // PyTorch has no memory left
        call(table->release_idle_memory, Context{device});
      }
    }
  } else if (bytes < kPooledFrom) {
    return torch::stable::new_empty(like, shape, kScalarType<T>);
  } else if (bytes < kMostBytes) {
    Failure failure;
    if (auto memory = table->allocate(static_cast<std::size_t>(bytes), failure))
      return tensor_on<T>(std::move(memory), shape);
  }
  fail({"memory", "result: expected a shape that fits into memory, got " + shape_text(shape)});
}

// The gradients that the bits of `wrt` request, in the order of the inputs.
class Gradients {
 public:
  Gradients(const Tensor& like, std::int64_t wrt, int inputs) : like_(like), wrt_(wrt) {
    require(wrt >= 0 && wrt < std::int64_t{1} << inputs);
  }
  // Called once for each input: lets `target` point to the gradient, if it is requested. `passed`: the operator had that input.
  template <class T>
  void add(T*& target, const char* name, const Shape& shape, bool passed = true) {
    if ((wrt_ >> next_++ & 1) == 0) return;
    if (!passed) refuse("wrt: expected inputs that were passed, got " + std::string(name));
    tensors.push_back(empty<T>(like_, shape));
    target = data<T>(tensors.back());
  }

  std::vector<Tensor> tensors;

 private:
  const Tensor& like_;
  std::int64_t wrt_;
  int next_ = 0;
};

// An owner is a tensor whose storage owns the state of an adjoint. It is found by its address, so a copy is not an owner. `type` tells
// a rollout from a rasterization, and float from double.
struct Owner {
  std::int64_t content[2];
  std::shared_ptr<void> object;
  const void* type;
};

template <class Object>
inline constexpr char kType = 0;

inline std::mutex owners_busy;
inline std::map<const void*, const Owner*>& owners() {
  static auto* const all =
      new std::map<const void*, const Owner*>;  // never destroyed: storages may outlive this library
  return *all;
}

template <class Object>
Tensor own(std::shared_ptr<Object> object) {
  auto* const owner = new Owner{{}, std::move(object), &kType<Object>};
  {
    const std::lock_guard lock(owners_busy);
    owners()[owner->content] = owner;
  }
  const std::int64_t sizes[1] = {2}, strides[1] = {1};
  return torch::stable::from_blob(owner->content, {sizes, 1}, {strides, 1}, kCpu, ScalarType::Long,
                                  [owner](void* content) {
                                    {
                                      const std::lock_guard lock(owners_busy);
                                      owners().erase(content);
                                    }
                                    delete owner;
                                  });
}

// The state that a tensor owns. Its content is not read: any caller may have changed it.
template <class Object>
std::shared_ptr<Object> owned(const Tensor& tensor) {
  check_device(tensor);
  const std::lock_guard lock(owners_busy);
  const auto entry = owners().find(tensor.const_data_ptr());
  if (entry == owners().end())
    refuse(
        "trajectory: expected the tensor that the operator returned, got a copy of it, which does not hold the states; "
        "do not copy or move saved tensors of this operator");
  if (entry->second->type != &kType<Object>)
    refuse("trajectory: expected one of the same operator and dtype, got another");
  if (!entry->second->object) refuse("trajectory: expected one of a differentiable rollout, got one without states");
  return std::static_pointer_cast<Object>(entry->second->object);
}

}  // namespace diffmpm::torch_ops
