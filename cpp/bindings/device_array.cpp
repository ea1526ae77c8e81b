// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "device_array.hpp"

#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "diffmpm/core/device.hpp"
#include "native_call.hpp"

using namespace nb::literals;
using namespace diffmpm;
using cuda::Combination;

namespace {

constexpr std::intptr_t kLegacyStream = 1;  // how DLPack calls the default stream of CUDA

// fn(T()) with the type of the values.
template <class Fn>
auto with_type(const DeviceArray& a, const Fn& fn) {
  return a.wide ? fn(double()) : fn(float());
}

[[noreturn]] void type_error(const std::string& text) { throw nb::type_error(text.c_str()); }

void translate_device_error(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const cuda::DeviceError& error) {
    const nb::object value = nb::module_::import_("diffmpm.errors").attr("DeviceError")(error.what());
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(value.ptr())), value.ptr());
  }
}

std::int64_t count_of(const DeviceArray& a) { return static_cast<std::int64_t>(a.size()); }

template <class T>
DeviceArray to_device(const In<T>& host, int device) {
  std::vector<std::size_t> shape;
  for (std::size_t k = 0; k < host.ndim(); ++k) shape.push_back(host.shape(k));
  const DeviceScope scope(device);
  DeviceArray out = new_device_array(std::move(shape), sizeof(T) == sizeof(double), device);
  cuda::upload(out.memory.get(), host.data(), out.bytes(), scope.stream());
  return out;
}

nb::object to_numpy(const DeviceArray& a) {
  return with_type(a, [&](auto zero) {
    using T = decltype(zero);
    const Buffer<T> host(a.size());
    const DeviceScope scope(a.device);
    {
      const NativeCall call;
      cuda::download(host.data(), a.memory.get(), a.bytes(), scope.stream());
    }
    return nb::cast(to_ndarray(host, a.shape));
  });
}

// What makes tensors of bytes, (size, device), where PyTorch is in use. Never destroyed: the interpreter may be gone.
nb::object*& byte_tensor() {
  static nb::object* make = nullptr;
  return make;
}

// An object that is released with the lock of the interpreter, from any thread; not at all once the interpreter is gone.
std::shared_ptr<nb::object> owned(nb::object&& object) {
  return {new nb::object(std::move(object)), [](nb::object* held) {
            if (!nb::is_alive()) return;
            const nb::gil_scoped_acquire gil;
            delete held;
          }};
}

// Let arrays, and the work space of what runs on a stream that was lent (see `lend`), be memory of PyTorch.
void use_memory_of_torch(const nb::object& make_bytes, std::uintptr_t allocate, std::uintptr_t free) {
  if (!byte_tensor()) byte_tensor() = new nb::object();
  *byte_tensor() = make_bytes;
  cuda::MemorySource source;
  source.allocate = reinterpret_cast<decltype(source.allocate)>(allocate);
  source.free = reinterpret_cast<decltype(source.free)>(free);
  cuda::set_memory_source(source);
}

// Take memory for work on a stream of a device from PyTorch, whose current stream it is, in this thread; return the one before.
std::pair<int, std::intptr_t> lend(int device, std::intptr_t stream) {
  const cuda::SourceStream before =
      std::exchange(cuda::source_stream(), cuda::SourceStream{device, reinterpret_cast<void*>(stream)});
  return {before.device, reinterpret_cast<std::intptr_t>(before.stream)};
}

std::string device_text(const DeviceArray& a) { return "cuda:" + std::to_string(a.device); }

nb::object dtype_of(const DeviceArray& a) {
  return nb::module_::import_("numpy").attr("dtype")(a.wide ? "float64" : "float32");
}

nb::tuple shape_of(const DeviceArray& a) {
  nb::list shape;
  for (const std::size_t length : a.shape) shape.append(length);
  return nb::tuple(shape);
}

DeviceArray new_like(const DeviceArray& a) { return new_device_array(a.shape, a.wide, a.device); }

// Arrays of one call belong to one device.
void check_device(const DeviceArray& a, const DeviceArray& b) {
  if (a.device != b.device)
    type_error("DeviceArray: expected arrays of one device, got cuda:" + std::to_string(a.device) +
               " and cuda:" + std::to_string(b.device) + "; move one with diffmpm.to_device(array, device=...)");
}

DeviceArray copy_of(const DeviceArray& a) {
  const DeviceScope scope(a.device);
  DeviceArray out = new_like(a);
  cuda::copy(out.memory.get(), a.memory.get(), a.bytes(), scope.stream());
  return out;
}

DeviceArray zeros_like(const DeviceArray& a) {
  const DeviceScope scope(a.device);
  DeviceArray out = new_like(a);
  cuda::clear(out.memory.get(), out.bytes(), scope.stream());
  return out;
}

// Rows [first, first + count) along the first axis, without a copy.
DeviceArray rows(const DeviceArray& a, std::size_t first, std::size_t count) {
  DeviceArray out = a;
  out.owner.reset();  // which has the whole
  out.shape[0] = count;
  const std::size_t row = count ? out.bytes() / count : 0;
  out.memory = {a.memory, static_cast<unsigned char*>(a.memory.get()) + first * row};
  return out;
}

DeviceArray item(const DeviceArray& a, const nb::object& index) {
  if (a.shape.empty()) type_error("DeviceArray: expected an array with axes to index, got a single value");
  const auto length = static_cast<Py_ssize_t>(a.shape[0]);
  if (nb::isinstance<nb::slice>(index)) {
    Py_ssize_t start = 0, stop = 0, step = 0;
    if (PySlice_Unpack(index.ptr(), &start, &stop, &step) < 0) throw nb::python_error();
    const Py_ssize_t count = PySlice_AdjustIndices(length, &start, &stop, step);
    if (step != 1 && count > 1) type_error("DeviceArray: expected a slice of step 1; copy it with .numpy()");
    return rows(a, static_cast<std::size_t>(start), static_cast<std::size_t>(count));
  }
  if (!PyIndex_Check(index.ptr())) type_error("DeviceArray: expected a whole number or a slice of the first axis");
  Py_ssize_t n = PyNumber_AsSsize_t(index.ptr(), PyExc_IndexError);
  if (n == -1 && PyErr_Occurred()) throw nb::python_error();
  if (n < 0) n += length;
  if (n < 0 || n >= length) throw nb::index_error("DeviceArray: index out of range");
  DeviceArray out = rows(a, static_cast<std::size_t>(n), 1);
  out.shape.erase(out.shape.begin());
  return out;
}

void set_item(const DeviceArray& a, const nb::object& index, const DeviceArray& value) {
  const DeviceArray part = item(a, index);
  if (part.shape != value.shape || part.wide != value.wide)
    type_error("DeviceArray: expected a value of the part's shape and dtype");
  check_device(part, value);
  const DeviceScope scope(a.device);
  cuda::copy(part.memory.get(), value.memory.get(), part.bytes(), scope.stream());
}

// A number: of Python, of NumPy, or an array of NumPy without axes.
std::optional<double> number(const nb::handle& value) {
  if (nb::hasattr(value, "ndim") && nb::cast<int>(value.attr("ndim")) != 0) return {};
  double out = 0;
  if (PyComplex_Check(value.ptr())) return {};
  const double given = PyFloat_AsDouble(value.ptr());
  if (given == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    return {};
  }
  out = given;
  return out;
}

DeviceArray combine(Combination op, const nb::handle& left, const nb::handle& right, const DeviceArray* into) {
  const DeviceArray *a = nullptr, *b = nullptr;
  if (nb::isinstance<DeviceArray>(left)) a = nb::inst_ptr<DeviceArray>(left);
  if (nb::isinstance<DeviceArray>(right)) b = nb::inst_ptr<DeviceArray>(right);
  const DeviceArray& like = a ? *a : *b;
  double numbers[2] = {0, 0};
  for (const auto& [array, value, n] : {std::tuple(a, left, 0), std::tuple(b, right, 1)}) {
    if (array) {
      if (array->shape != like.shape || array->wide != like.wide)
        type_error("DeviceArray: expected arrays of one shape and dtype, or numbers; nothing is broadcast");
      check_device(like, *array);
      continue;
    }
    const std::optional<double> given = number(value);
    if (!given)
      type_error("DeviceArray: expected an array on the device or a number; upload it with diffmpm.to_device(array)");
    numbers[n] = *given;
  }
  if (into && (into->shape != like.shape || into->wide != like.wide))
    type_error("DeviceArray: expected a result of the operands' shape and dtype");
  if (into) check_device(like, *into);
  const DeviceScope scope(like.device);
  const DeviceArray out = into ? *into : new_like(like);
  with_type(like, [&](auto zero) {
    using T = decltype(zero);
    const auto side = [&](const DeviceArray* array, double n) {
      return cuda::Operand<T>{array ? array->data<T>() : nullptr, static_cast<T>(n)};
    };
    cuda::combine<T>(op, count_of(like), side(a, numbers[0]), side(b, numbers[1]), out.data<T>(), scope.stream());
  });
  return out;
}

DeviceArray square_root(const DeviceArray& a) {
  const DeviceScope scope(a.device);
  DeviceArray out = new_like(a);
  with_type(a, [&](auto zero) {
    using T = decltype(zero);
    cuda::square_root<T>(count_of(a), a.data<T>(), out.data<T>(), scope.stream());
  });
  return out;
}

// What NumPy calls for its own functions on such arrays: arithmetic of optimisers runs on both kinds.
nb::object array_ufunc(const nb::object&, const nb::object& ufunc, const std::string& method, const nb::args& inputs,
                       const nb::kwargs& options) {
  const auto name = nb::cast<std::string>(ufunc.attr("__name__"));
  const DeviceArray* into = nullptr;
  nb::object target;
  for (const auto& [key, value] : options) {
    if (nb::cast<std::string>(key) != "out" || nb::len(nb::tuple(value)) != 1)
      type_error("DeviceArray: " + name + " takes no option but out");
    target = nb::tuple(value)[0];
    if (!nb::isinstance<DeviceArray>(target)) type_error("DeviceArray: expected a result on the device");
    into = nb::inst_ptr<DeviceArray>(target);
  }
  static constexpr std::pair<const char*, Combination> kBinary[] = {{"add", Combination::add},
                                                                    {"subtract", Combination::subtract},
                                                                    {"multiply", Combination::multiply},
                                                                    {"divide", Combination::divide}};
  if (method == "__call__") {
    for (const auto& [known, op] : kBinary)
      if (name == known) {
        DeviceArray out = combine(op, inputs[0], inputs[1], into);
        return into ? target : nb::cast(std::move(out));
      }
    if (name == "sqrt" && !into) return nb::cast(square_root(nb::cast<DeviceArray&>(inputs[0])));
  }
  type_error("DeviceArray: numpy." + name + " does not run on a device; copy the array with .numpy()");
}

template <Combination kOp>
DeviceArray forward_operator(const nb::object& self, const nb::object& other) {
  return combine(kOp, self, other, nullptr);
}
template <Combination kOp>
DeviceArray reflected_operator(const nb::object& self, const nb::object& other) {
  return combine(kOp, other, self, nullptr);
}
template <Combination kOp>
nb::object inplace_operator(const nb::object& self, const nb::object& other) {
  combine(kOp, self, other, nb::inst_ptr<DeviceArray>(self));
  return self;
}

template <Combination kOp, class Class>
void bind_operator(Class& c, const std::string& name) {
  c.def(("__" + name + "__").c_str(), &forward_operator<kOp>, "other"_a);
  c.def(("__r" + name + "__").c_str(), &reflected_operator<kOp>, "other"_a);
  c.def(("__i" + name + "__").c_str(), &inplace_operator<kOp>, "other"_a);
}

[[noreturn]] void buffer_error(const std::string& text) { throw nb::buffer_error(text.c_str()); }

// DLPack. The consumer's stream, as the standard numbers it, waits for ours.
nb::object to_dlpack(const DeviceArray& given, const nb::object& stream, const nb::object& dl_device,
                     const nb::object& copy, const nb::kwargs&) {
  const auto here = std::pair(int{nb::device::cuda::value}, given.device);
  if (!dl_device.is_none() && nb::cast<std::pair<int, int>>(dl_device) != here)
    buffer_error("DeviceArray: expected its own device, got another one; copy it to the host with .numpy()");
  const auto consumer = stream.is_none() ? kLegacyStream : nb::cast<std::intptr_t>(stream);
  if (consumer == 0) buffer_error("DeviceArray: expected a stream as DLPack numbers it, got 0; pass 1 for the default");
  const DeviceScope scope(given.device);
  const DeviceArray a = !copy.is_none() && nb::cast<bool>(copy) ? copy_of(given) : given;
  if (consumer != -1)
    cuda::wait_for(consumer == kLegacyStream ? nullptr : reinterpret_cast<void*>(consumer), scope.stream());
  return with_type(a, [&](auto zero) {
    using T = decltype(zero);
    auto* owner = new std::shared_ptr<void>(a.memory);
    nb::capsule capsule(owner, [](void* p) noexcept { delete static_cast<std::shared_ptr<void>*>(p); });
    const nb::ndarray<T, nb::device::cuda> array(a.data<T>(), a.shape.size(), a.shape.data(), capsule, nullptr,
                                                 nb::dtype<T>(), nb::device::cuda::value, a.device);
    return nb::cast(array);
  });
}

// Arrays of others on a device, without a copy.
DeviceArray from_dlpack(const nb::object& array) {
  const DeviceScope scope(nb::cast<std::pair<int, int>>(array.attr("__dlpack_device__")()).second);
  void* const ours = scope.stream();
  const nb::object capsule =
      array.attr("__dlpack__")("stream"_a = ours ? reinterpret_cast<std::intptr_t>(ours) : kLegacyStream);
  const auto take = [&](auto zero) -> std::optional<DeviceArray> {
    using T = decltype(zero);
    nb::ndarray<T, nb::c_contig, nb::device::cuda> view;
    if (!nb::try_cast(capsule, view, false)) return {};
    DeviceArray out;
    out.device = view.device_id();
    for (std::size_t k = 0; k < view.ndim(); ++k) out.shape.push_back(view.shape(k));
    out.wide = sizeof(T) == sizeof(double);
    void* const data = view.data();
    auto* owner = new decltype(view)(std::move(view));
    out.memory = {data, [owner](void*) {
                    const nb::gil_scoped_acquire gil;
                    delete owner;
                  }};
    return out;
  };
  if (auto out = take(float())) return *out;
  if (auto out = take(double())) return *out;
  type_error("expected a C-contiguous float32 or float64 array on a CUDA device");
}

// An array on memory that an object of Python owns, C-contiguous; whoever made it says what it holds.
DeviceArray view_memory(std::uintptr_t address, std::vector<std::size_t> shape, bool wide, int device,
                        nb::object owner) {
  DeviceArray out;
  out.shape = std::move(shape), out.wide = wide, out.device = device;
  out.memory = {owned(std::move(owner)), reinterpret_cast<void*>(address)};
  return out;
}

// Rows of arrays along the first axis, none of them twice, in the memory of the device.
struct DeviceRows {
  std::shared_ptr<void> memory;
  std::size_t count;
  int device;
  std::size_t end = 0;  // one more than the largest of them

  const std::int32_t* data() const { return static_cast<const std::int32_t*>(memory.get()); }
};

DeviceRows upload_rows(const nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>& rows,
                       int device) {
  const DeviceScope scope(device);
  const std::vector<std::int32_t> checked(rows.data(), rows.data() + rows.size());
  DeviceRows out{cuda::allocate(rows.nbytes(), scope.stream()), rows.size(), device};
  for (const std::int32_t row : checked) {
    if (row < 0) type_error("rows: expected indices of at least 0");
    out.end = std::max(out.end, static_cast<std::size_t>(row) + 1);
  }
  cuda::upload(out.memory.get(), checked.data(), rows.nbytes(), scope.stream());
  return out;
}

DeviceArray take_rows(const DeviceArray& a, const DeviceRows& rows) {
  std::vector<std::size_t> shape = a.shape;
  if (shape.empty()) type_error("take_rows: expected an array with rows");
  shape[0] = rows.count;
  if (rows.device != a.device) type_error("take_rows: expected an array on the device of the rows");
  if (a.shape[0] < rows.end) type_error("take_rows: expected an array that has all rows");
  const DeviceScope scope(a.device);
  DeviceArray out = new_device_array(std::move(shape), a.wide, a.device);
  const auto count = static_cast<std::int64_t>(rows.count);
  with_type(a, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t width = count ? count_of(out) / count : 0;
    cuda::take_rows<T>(count, width, rows.data(), a.data<T>(), out.data<T>(), scope.stream());
  });
  return out;
}

void add_rows(const DeviceArray& a, const DeviceRows& rows, const DeviceArray& values) {
  if (values.wide != a.wide || values.shape.empty() || values.shape[0] != rows.count)
    type_error("add_rows: expected a row of values for each row, of the array's dtype");
  if (rows.device != a.device) type_error("add_rows: expected an array on the device of the rows");
  if (a.shape.empty() || a.shape[0] < rows.end) type_error("add_rows: expected an array that has all rows");
  check_device(a, values);
  const DeviceScope scope(a.device);
  const auto count = static_cast<std::int64_t>(rows.count);
  with_type(a, [&](auto zero) {
    using T = decltype(zero);
    const std::int64_t width = count ? count_of(values) / count : 0;
    cuda::add_rows<T>(count, width, rows.data(), values.data<T>(), a.data<T>(), scope.stream());
  });
}

// Two arrays one after the other along the first axis.
DeviceArray append(const DeviceArray& a, const DeviceArray& b) {
  std::vector<std::size_t> shape = a.shape;
  shape[0] += b.shape[0];
  check_device(a, b);
  const DeviceScope scope(a.device);
  DeviceArray out = new_device_array(std::move(shape), a.wide, a.device);
  if (a.wide != b.wide || a.bytes() + b.bytes() != out.bytes())
    type_error("append: expected arrays of one dtype whose rows have one shape");
  cuda::copy(out.memory.get(), a.memory.get(), a.bytes(), scope.stream());
  cuda::copy(static_cast<unsigned char*>(out.memory.get()) + a.bytes(), b.memory.get(), b.bytes(), scope.stream());
  return out;
}

// fn(T(), stream), without the lock of the interpreter.
template <class Fn>
auto reduce(const DeviceArray& a, const Fn& fn) {
  const DeviceScope scope(a.device);
  const NativeCall call;
  return with_type(a, [&](auto zero) { return fn(zero, scope.stream()); });
}

double dot(const DeviceArray& a, const DeviceArray& b) {
  if (a.shape != b.shape || a.wide != b.wide) type_error("dot: expected arrays of one shape and dtype");
  check_device(a, b);
  return reduce(a, [&](auto zero, void* stream) {
    using T = decltype(zero);
    return cuda::dot<T>(count_of(a), a.data<T>(), b.data<T>(), stream);
  });
}
double peak(const DeviceArray& a) {
  return reduce(a, [&](auto zero, void* stream) {
    using T = decltype(zero);
    return cuda::peak<T>(count_of(a), a.data<T>(), stream);
  });
}
std::int64_t count_not_finite(const DeviceArray& a) {
  return reduce(a, [&](auto zero, void* stream) {
    using T = decltype(zero);
    return cuda::count_not_finite<T>(count_of(a), a.data<T>(), stream);
  });
}
std::int64_t count_not_above(const DeviceArray& a, double bound) {
  return reduce(a, [&](auto zero, void* stream) {
    using T = decltype(zero);
    return cuda::count_not_above<T>(count_of(a), a.data<T>(), static_cast<T>(bound), stream);
  });
}
std::int64_t count_inverted(const DeviceArray& F) {
  return reduce(F, [&](auto zero, void* stream) {
    using T = decltype(zero);
    return cuda::count_inverted<T>(count_of(F) / 9, F.data<T>(), stream);
  });
}
// Counts of mass, volume, lam and mu.
std::array<std::int64_t, 4> count_bad_constants(const DeviceArray& mass, const DeviceArray& volume,
                                                const DeviceArray& lam, const DeviceArray& mu) {
  return reduce(mass, [&](auto zero, void* stream) {
    using T = decltype(zero);
    return cuda::count_bad_constants<T>(count_of(mass), mass.data<T>(), volume.data<T>(), lam.data<T>(), mu.data<T>(),
                                        stream);
  });
}

}  // namespace

void*& current_stream(int device) {
  thread_local std::map<int, void*> streams;
  return streams[device];
}

DeviceArray new_device_array(std::vector<std::size_t> shape, bool wide, int device) {
  const DeviceScope scope(device);
  DeviceArray out;
  out.shape = std::move(shape), out.wide = wide, out.device = device;
  if (const cuda::SourceStream& served = cuda::source_stream();
      byte_tensor() && served.device == device && served.stream == scope.stream()) {
    out.owner = owned((*byte_tensor())(out.bytes(), device));
    out.memory = {out.owner, reinterpret_cast<void*>(nb::cast<std::uintptr_t>(out.owner->attr("data_ptr")()))};
  } else {
    out.memory = cuda::allocate(out.bytes(), scope.stream());
  }
  return out;
}

void bind_device_array(nb::module_& m) {
  nb::register_exception_translator(translate_device_error);
  nb::class_<DeviceArray> c(
      m, "DeviceArray",
      "Array in the memory of a CUDA device: float32 or float64, C-contiguous. Other libraries take "
      "it through DLPack without a copy.");
  c.def_prop_ro("shape", &shape_of, "Lengths of the axes.")
      .def_prop_ro("dtype", &dtype_of, "float32 or float64, as a numpy.dtype.")
      .def_prop_ro(
          "ndim", [](const DeviceArray& a) { return a.shape.size(); }, "Number of axes.")
      .def_prop_ro("size", &DeviceArray::size, "Number of values.")
      .def_prop_ro("device", &device_text, "The device, as cuda:0.")
      .def_prop_ro(
          "owner", [](const DeviceArray& a) { return a.owner ? *a.owner : nb::none(); },
          "Tensor of bytes that has the memory, or None; private.")
      .def_ro("device_index", &DeviceArray::device, "Number of the device.")
      .def("numpy", &to_numpy, "Return a copy on the host; waits for the device.")
      .def("copy", &copy_of, "Return a copy on the device.")
      .def("__len__",
           [](const DeviceArray& a) {
             if (a.shape.empty()) type_error("DeviceArray: a single value has no length");
             return a.shape[0];
           })
      .def("__getitem__", &item, "index"_a)
      .def("__setitem__", &set_item, "index"_a, "value"_a)
      .def("__repr__",
           [](const DeviceArray& a) {
             return "DeviceArray(shape=" + nb::cast<std::string>(nb::repr(shape_of(a))) +
                    ", dtype=" + (a.wide ? "float64" : "float32") + ", device='" + device_text(a) + "')";
           })
      .def("__dlpack__", &to_dlpack, nb::kw_only(), "stream"_a = nb::none(), "dl_device"_a = nb::none(),
           "copy"_a = nb::none(), "kwargs"_a)
      .def("__dlpack_device__", [](const DeviceArray& a) { return std::tuple(int{nb::device::cuda::value}, a.device); })
      .def("__array__",
           [](const DeviceArray&, const nb::args&, const nb::kwargs&) -> nb::object {
             type_error("DeviceArray: expected an array on the host; copy it with .numpy()");
           })
      .def("__array_ufunc__", &array_ufunc);
  bind_operator<Combination::add>(c, "add");
  bind_operator<Combination::subtract>(c, "sub");
  bind_operator<Combination::multiply>(c, "mul");
  bind_operator<Combination::divide>(c, "truediv");
  m.def("to_device", &to_device<float>, "array"_a.noconvert(), "device"_a);
  m.def("to_device", &to_device<double>, "array"_a.noconvert(), "device"_a);
  m.def("from_dlpack", &from_dlpack, "array"_a, "Array of another library on a device, without a copy.");
  m.def(
      "view_memory", &view_memory, "address"_a, "shape"_a, "wide"_a, "device"_a, "owner"_a,
      "C-contiguous memory of a device that `owner` keeps alive, used on the current stream without waiting; private.");
  m.def("zeros_like", &zeros_like, "array"_a);
  nb::class_<DeviceRows>(m, "DeviceRows", "Rows of arrays along the first axis, none of them twice; private.");
  m.def("upload_rows", &upload_rows, "rows"_a.noconvert(), "device"_a);
  m.def("take_rows", &take_rows, "array"_a, "rows"_a);
  m.def("add_rows", &add_rows, "array"_a, "rows"_a, "values"_a);
  m.def("append", &append, "a"_a, "b"_a);
  m.def("dot", &dot, "a"_a, "b"_a);
  m.def("peak", &peak, "array"_a);
  m.def("count_not_finite", &count_not_finite, "array"_a);
  m.def("count_not_above", &count_not_above, "array"_a, "bound"_a);
  m.def("count_inverted", &count_inverted, "F"_a);
  m.def("count_bad_constants", &count_bad_constants, "mass"_a, "volume"_a, "lam"_a, "mu"_a);
  m.def(
      "set_stream",
      [](std::intptr_t stream, std::optional<int> device) {
        void*& current = current_stream(device ? *device : cuda::current_device());
        return reinterpret_cast<std::intptr_t>(std::exchange(current, reinterpret_cast<void*>(stream)));
      },
      "stream"_a, "device"_a = nb::none(),
      "Let calls of this thread use a stream, a cudaStream_t, of a device, or else of the current one; return the one "
      "before.");
  m.def("use_memory_of_torch", &use_memory_of_torch, "make_bytes"_a, "allocate"_a, "free"_a);
  m.def("lend", &lend, "device"_a, "stream"_a);
  m.def("release_idle_memory", &cuda::release_idle_memory);
  m.def(
      "memory_use",
      [](int device, bool reset_peak) {
        const DeviceScope scope(device);
        const cuda::MemoryUse use = cuda::memory_use(reset_peak);
        return std::tuple(use.free, use.total, use.used, use.peak);
      },
      "device"_a, "reset_peak"_a = false,
      "Bytes of a CUDA device: free, total, and of the core's pool in use, now and at most since the peak was reset.");
  m.def("current_device", &cuda::current_device, "Number of the CUDA device that is current in this thread.");
  m.def("set_current_device", &cuda::set_current_device, "device"_a, "Make a CUDA device current in this thread.");
  m.def("host_waits", &cuda::host_waits, "How often the host has waited for a device in this process.");
}
