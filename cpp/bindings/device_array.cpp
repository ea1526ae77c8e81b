// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "device_array.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "native_call.hpp"

using namespace nb::literals;
using namespace diffmpm;

namespace {

constexpr std::intptr_t kLegacyStream = 1;  // DLPack's number of CUDA's default stream

[[noreturn]] void type_error(const std::string& text) { throw nb::type_error(text.c_str()); }
[[noreturn]] void buffer_error(const std::string& text) { throw nb::buffer_error(text.c_str()); }

void translate_device_error(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const cuda::DeviceError& error) {
    const nb::object value = nb::module_::import_("diffmpm.errors").attr("DeviceError")(error.what());
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(value.ptr())), value.ptr());
  }
}

// Function of Python, (size, device), that makes tensors of bytes, once PyTorch lends memory. Never destroyed: the interpreter may
// be gone by then.
nb::object*& byte_tensor() {
  static nb::object* make = nullptr;
  return make;
}

// A reference that any thread may release. It leaks once the interpreter is gone.
std::shared_ptr<nb::object> shared(nb::object&& object) {
  return {new nb::object(std::move(object)), [](nb::object* held) {
            if (!nb::is_alive()) return;
            const nb::gil_scoped_acquire gil;
            delete held;
          }};
}

DeviceArray upload(const nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>& host, int device) {
  std::vector<std::size_t> shape;
  for (std::size_t k = 0; k < host.ndim(); ++k) shape.push_back(host.shape(k));
  const DeviceScope scope(device);
  DeviceArray out = new_device_array(std::move(shape), host.dtype(), device);
  cuda::devices().upload(out.memory.get(), host.data(), out.bytes(), scope.stream());
  return out;
}

nb::object to_numpy(const DeviceArray& a) {
  const Buffer<unsigned char> host(a.bytes());
  const DeviceScope scope(a.device);
  {
    const NativeCall call;
    cuda::devices().download(host.data(), a.memory.get(), a.bytes(), scope.stream());
  }
  return nb::cast(
      nb::ndarray<nb::numpy>(host.data(), a.shape.size(), a.shape.data(), owner_of(host.owner()), nullptr, a.dtype));
}

std::string dtype_name(const DeviceArray& a) {
  const bool integer = a.dtype.code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::Int);
  return (integer ? "int" : "float") + std::to_string(a.dtype.bits);
}

nb::object numpy_dtype(const DeviceArray& a) { return nb::module_::import_("numpy").attr("dtype")(dtype_name(a)); }

std::string device_name(const DeviceArray& a) { return "cuda:" + std::to_string(a.device); }

nb::tuple shape_tuple(const DeviceArray& a) {
  nb::list shape;
  for (const std::size_t length : a.shape) shape.append(length);
  return nb::tuple(shape);
}

std::string repr(const DeviceArray& a) {
  return "DeviceArray(shape=" + nb::cast<std::string>(nb::repr(shape_tuple(a))) + ", dtype=" + dtype_name(a) +
         ", device='" + device_name(a) + "')";
}

std::size_t length(const DeviceArray& a) {
  if (a.shape.empty()) type_error("DeviceArray: a single value has no length");
  return a.shape[0];
}

DeviceArray copy_of(const DeviceArray& a) {
  const DeviceScope scope(a.device);
  DeviceArray out = new_device_array(a.shape, a.dtype, a.device);
  cuda::devices().copy(out.memory.get(), a.memory.get(), a.bytes(), scope.stream());
  return out;
}

// Entries [first, first + count) along the first axis, without a copy.
DeviceArray view(const DeviceArray& a, std::size_t first, std::size_t count) {
  DeviceArray out = a;
  out.owner.reset();  // it stands for the whole array
  out.shape[0] = count;
  const std::size_t row = count ? out.bytes() / count : 0;
  out.memory = {a.memory, static_cast<unsigned char*>(a.memory.get()) + first * row};
  return out;
}

DeviceArray item(const DeviceArray& a, const nb::object& index) {
  if (a.shape.empty()) type_error("DeviceArray: expected an array with axes to index, got a single value");
  const auto count = static_cast<Py_ssize_t>(a.shape[0]);
  if (nb::isinstance<nb::slice>(index)) {
    Py_ssize_t start = 0, stop = 0, step = 0;
    if (PySlice_Unpack(index.ptr(), &start, &stop, &step) < 0) throw nb::python_error();
    const Py_ssize_t length = PySlice_AdjustIndices(count, &start, &stop, step);
    if (step != 1 && length > 1) type_error("DeviceArray: expected a slice of step 1; copy it with .numpy()");
    return view(a, static_cast<std::size_t>(start), static_cast<std::size_t>(length));
  }
  if (!PyIndex_Check(index.ptr())) type_error("DeviceArray: expected an integer or a slice of the first axis");
  Py_ssize_t n = PyNumber_AsSsize_t(index.ptr(), PyExc_IndexError);
  if (n == -1 && PyErr_Occurred()) throw nb::python_error();
  if (n < 0) n += count;
  if (n < 0 || n >= count) throw nb::index_error("DeviceArray: index out of range");
  DeviceArray out = view(a, static_cast<std::size_t>(n), 1);
  out.shape.erase(out.shape.begin());
  return out;
}

// The consumer's stream, in DLPack's numbering, waits for ours.
nb::object to_dlpack(const DeviceArray& array, const nb::object& stream, const nb::object& dl_device,
                     const nb::object& copy, const nb::kwargs&) {
  const auto own_device = std::pair(int{nb::device::cuda::value}, array.device);
  if (!dl_device.is_none() && nb::cast<std::pair<int, int>>(dl_device) != own_device)
    buffer_error("DeviceArray: expected its own device, got another one; copy it to the host with .numpy()");
  const auto consumer = stream.is_none() ? kLegacyStream : nb::cast<std::intptr_t>(stream);
  if (consumer == 0) buffer_error("DeviceArray: expected a stream as DLPack numbers it, got 0; pass 1 for the default");
  const DeviceScope scope(array.device);
  const DeviceArray a = !copy.is_none() && nb::cast<bool>(copy) ? copy_of(array) : array;
  if (consumer != -1)
    cuda::devices().wait_for(consumer == kLegacyStream ? nullptr : reinterpret_cast<void*>(consumer), scope.stream());
  return nb::cast(nb::ndarray<nb::device::cuda>(a.memory.get(), a.shape.size(), a.shape.data(), owner_of(a.memory),
                                                nullptr, a.dtype, nb::device::cuda::value, a.device));
}

DeviceArray from_dlpack(const nb::object& array) {
  const DeviceScope scope(nb::cast<std::pair<int, int>>(array.attr("__dlpack_device__")()).second);
  void* const ours = scope.stream();
  const nb::object capsule =
      array.attr("__dlpack__")("stream"_a = ours ? reinterpret_cast<std::intptr_t>(ours) : kLegacyStream);
  nb::ndarray<nb::c_contig, nb::device::cuda> foreign;
  if (!nb::try_cast(capsule, foreign, false) ||
      (foreign.dtype() != nb::dtype<float>() && foreign.dtype() != nb::dtype<double>()))
    type_error("expected a C-contiguous float32 or float64 array on a CUDA device");
  DeviceArray out;
  out.dtype = foreign.dtype(), out.device = foreign.device_id();
  for (std::size_t k = 0; k < foreign.ndim(); ++k) out.shape.push_back(foreign.shape(k));
  void* const data = foreign.data();
  auto* owner = new decltype(foreign)(std::move(foreign));
  out.memory = {data, [owner](void*) {
                  const nb::gil_scoped_acquire gil;
                  delete owner;
                }};
  return out;
}

DeviceArray view_memory(std::uintptr_t address, std::vector<std::size_t> shape, const std::string& dtype, int device,
                        nb::object owner) {
  const nb::dlpack::dtype type = dtype == "float64" ? nb::dtype<double>()
                                 : dtype == "int32" ? nb::dtype<std::int32_t>()
                                                    : nb::dtype<float>();
  return {{shared(std::move(owner)), reinterpret_cast<void*>(address)}, std::move(shape), type, device};
}

// From now on arrays, and the work space of calls on PyTorch's stream (see TorchScope), are memory of PyTorch.
void use_memory_of_torch(const nb::object& make_bytes, std::uintptr_t allocate, std::uintptr_t free) {
  if (!byte_tensor()) byte_tensor() = new nb::object();
  *byte_tensor() = make_bytes;
  cuda::MemorySource& source = cuda::memory_source;
  source.allocate = reinterpret_cast<decltype(source.allocate)>(allocate);
  source.free = reinterpret_cast<decltype(source.free)>(free);
}

nb::object call_on_stream(int device, std::intptr_t stream, const nb::object& call, const nb::args& args) {
  const TorchScope scope({device, reinterpret_cast<void*>(stream)});
  return call(*args);
}

std::intptr_t set_stream(std::intptr_t stream, std::optional<int> device) {
  void*& current = current_stream(device ? *device : cuda::devices().current());
  return reinterpret_cast<std::intptr_t>(std::exchange(current, reinterpret_cast<void*>(stream)));
}

std::tuple<std::size_t, std::size_t, std::size_t, std::size_t> memory_use(int device, bool reset_peak) {
  const DeviceScope scope(device);
  const cuda::MemoryUse use = cuda::devices().memory_use(reset_peak);
  return {use.free, use.total, use.used, use.peak};
}

}  // namespace

void*& current_stream(int device) {
  thread_local std::map<int, void*> streams;
  return streams[device];
}

TorchScope::TorchScope(const Context& context) : guard_(context.device), device_(context.device) {
  if (!context.on_device()) return;
  cuda::devices().refuse_capture(context.stream);
  stream_ = std::exchange(current_stream(device_), context.stream);
  source_ = std::exchange(cuda::source_stream(), {device_, context.stream});
}

TorchScope::~TorchScope() {
  if (device_ == kNoDevice) return;
  current_stream(device_) = stream_;
  cuda::source_stream() = source_;
}

DeviceArray new_device_array(std::vector<std::size_t> shape, nb::dlpack::dtype dtype, int device) {
  const DeviceScope scope(device);
  DeviceArray out;
  out.shape = std::move(shape), out.dtype = dtype, out.device = device;
  if (const cuda::SourceStream& lent = cuda::source_stream();
      byte_tensor() && lent.device == device && lent.stream == scope.stream()) {
    out.owner = shared((*byte_tensor())(out.bytes(), device));
    out.memory = {out.owner, reinterpret_cast<void*>(nb::cast<std::uintptr_t>(out.owner->attr("data_ptr")()))};
  } else {
    out.memory = cuda::devices().allocate(out.bytes(), scope.stream());
  }
  return out;
}

void bind_device_array(nb::module_& m) {
  nb::register_exception_translator(translate_device_error);
  nb::class_<DeviceArray>(m, "DeviceArray",
                          "C-contiguous float32 or float64 array in the memory of a CUDA device. It has no arithmetic: "
                          "PyTorch, CuPy and JAX take it through DLPack without a copy.")
      .def_prop_ro("shape", &shape_tuple, "Lengths of the axes.")
      .def_prop_ro("dtype", &numpy_dtype, "float32 or float64, as a numpy.dtype.")
      .def_prop_ro(
          "ndim", [](const DeviceArray& a) { return a.shape.size(); }, "Number of axes.")
      .def_prop_ro("size", &DeviceArray::size, "Number of values.")
      .def_prop_ro("device", &device_name, "The device, for example cuda:0.")
      .def_prop_ro(
          "owner", [](const DeviceArray& a) { return a.owner ? *a.owner : nb::none(); },
          "Tensor of bytes that owns the memory, or None; private.")
      .def_ro("device_index", &DeviceArray::device, "Number of the device.")
      .def("numpy", &to_numpy, "Return a copy on the host; waits for the device.")
      .def("copy", &copy_of, "Return a copy on the device.")
      .def("__len__", &length)
      .def("__getitem__", &item, "index"_a, "Return a view: an integer or a slice of step 1, of the first axis.")
      .def("__repr__", &repr)
      .def("__dlpack__", &to_dlpack, nb::kw_only(), "stream"_a = nb::none(), "dl_device"_a = nb::none(),
           "copy"_a = nb::none(), "kwargs"_a)
      .def("__dlpack_device__", [](const DeviceArray& a) { return std::tuple(int{nb::device::cuda::value}, a.device); })
      .def("__array__", [](const DeviceArray&, const nb::args&, const nb::kwargs&) -> nb::object {
        type_error("DeviceArray: expected an array on the host; copy it with .numpy()");
      });
  m.def("to_device", &upload, "array"_a.noconvert(), "device"_a, "Copy of a NumPy array on a CUDA device.");
  m.def("from_dlpack", &from_dlpack, "array"_a, "Array of another library on a CUDA device, without a copy.");
  m.def("view_memory", &view_memory, "address"_a, "shape"_a, "dtype"_a, "device"_a, "owner"_a,
        "C-contiguous device memory that `owner` keeps alive, used on the current stream without waiting; private.");
  m.def("set_stream", &set_stream, "stream"_a, "device"_a = nb::none(),
        "Set the stream, a cudaStream_t, that calls of this thread use on a device (None: the current one); return the "
        "previous one.");
  m.def("use_memory_of_torch", &use_memory_of_torch, "make_bytes"_a, "allocate"_a, "free"_a);
  m.def("call_on_stream", &call_on_stream, "device"_a, "stream"_a, "call"_a, "args"_a,
        "Return call(*args), which uses PyTorch's current stream of a device, and PyTorch's memory; private.");
  m.def(
      "release_idle_memory", [] { cuda::devices().release_idle_memory(); }, "Free the idle memory of the core's pool.");
  m.def("memory_use", &memory_use, "device"_a, "reset_peak"_a = false,
        "Bytes of a CUDA device: free, total, and used of the core's pool, now and at most since the peak was reset.");
  m.def(
      "current_device", [] { return cuda::devices().current(); },
      "Number of the CUDA device that is current in this thread.");
  m.def(
      "set_current_device", [](int device) { cuda::devices().set_current(device); }, "device"_a,
      "Make a CUDA device current in this thread.");
  m.def(
      "host_waits", [] { return cuda::host_waits.load(); },
      "How often the host has waited for a device in this process.");
}
