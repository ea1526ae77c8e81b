// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Core entry points used by the PyTorch operators: the table of the native ones, and functions of those in Python.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "../torch/table.hpp"
#include "arrays.hpp"
#include "diffmpm/backend.hpp"
#include "diffmpm/core/device.hpp"
#include "native_call.hpp"

using namespace nb::literals;
using namespace diffmpm;
using torch_ops::Failure;

namespace {

// Runs `work`; exceptions become a failure, because they must not cross into a library with another C++ runtime.
template <class Work>
void guarded(Failure& failure, const Work& work) {
  try {
    const Call call(check_signals);
    work();
  } catch (const StepError& error) {
    failure = {kCauseNames[static_cast<int>(error.cause)], error.what(), error.particle, error.step};
  } catch (const nb::python_error&) {
    failure = {"interrupted", "interrupted"};
  } catch (const std::bad_alloc& error) {
    failure = {"memory", error.what()};
  } catch (const cuda::DeviceError& error) {
    failure = {"device", error.what()};
  } catch (const std::exception& error) {
    failure = {"argument", error.what()};
  }
}

template <class T>
const MpmFunctions<T>& area_of(const MpmFunctions<T>*) {
  return backend<T>({}).mpm;
}
template <class T>
const LossFunctions<T>& area_of(const LossFunctions<T>*) {
  return backend<T>({}).losses;
}
template <class T>
const surface::SurfaceFunctions<T>& area_of(const surface::SurfaceFunctions<T>*) {
  return backend<T>({}).surface;
}

// An entry of the table, with a Failure as its last argument: a function, or one of the CPU backend.
template <auto kFunction>
struct Entry;
template <class R, class... A, R (*kFunction)(A...)>
struct Entry<kFunction> {
  static R call(A... args, Failure& failure) {
    if constexpr (std::is_void_v<R>) {
      guarded(failure, [&] { kFunction(args...); });
    } else {
      R result{};
      guarded(failure, [&] { result = kFunction(args...); });
      return result;
    }
  }
};
template <class Area, class... A, void (*Area::*kFunction)(const Context&, A...)>
struct Entry<kFunction> {
  static void call(A... args, Failure& failure) {
    guarded(failure, [&] { (area_of(static_cast<const Area*>(nullptr)).*kFunction)({}, args...); });
  }
};

template <class T>
void check_one(const T* values, std::int64_t count, const char* name, bool zero) {
  for (std::int64_t p = 0; p < count; ++p)
    if (!std::isfinite(values[p]) || values[p] < T(0) || (!zero && values[p] == T(0)))
      throw std::invalid_argument(std::string(name) + ": expected finite values " + (zero ? ">= 0" : "> 0") + ", got " +
                                  std::to_string(values[p]) + " at index " + std::to_string(p));
}

template <class T>
void check_properties(std::int64_t count, const T* mass, const T* volume, const T* lam, const T* mu) {
  check_one(mass, count, "mass", false);
  check_one(volume, count, "volume", false);
  check_one(lam, count, "lam", true);
  check_one(mu, count, "mu", true);
}

template <class T>
std::shared_ptr<Rollout<T>> run(const MpmParams& params, const RolloutInput<T>& input) {
  check_properties(input.count, input.mass, input.volume, input.lam, input.mu);
  return backend<T>({}).mpm.rollout({}, params, input);
}

template <class T>
void rollout_vjp(Rollout<T>& roll, const std::vector<StateAdjoint<T>>& adjoints, RolloutGradients<T>& out) {
  roll.vjp(adjoints, out);
}

Buffer<std::int64_t> copied(const Buffer<std::int64_t>& values) {
  const Buffer<std::int64_t> out(values.size());
  std::copy_n(values.data(), values.size(), out.data());
  return out;
}

template <class T>
std::shared_ptr<Rasterization<T>> rasterize(const Context& context, const RasterInput<T>& in, DrawnImages<T>& out) {
  const TorchScope scope(context);
  std::shared_ptr<Rasterization<T>> raster = backend<T>(context).render.rasterize(context, in);
  out = raster->images();
  if (!context.on_device()) out.entry_counts = copied(out.entry_counts);  // which the adjoint reads
  return raster;
}

template <class T>
void rasterize_vjp(const Context& of_images, const Context& context, const Rasterization<T>& raster,
                   const RasterAdjoint<T>& adj, const RasterGradients<T>& out) {
  const TorchScope scope(context);
  const StreamGuard guard(of_images);
  raster.vjp(adj, out);
}

void release_idle_memory(const Context& context) {
  const cuda::DeviceGuard guard(context.device);
  cuda::devices().release_idle_memory();
}

// In the order of the members of CoreTable.
template <class T>
constexpr torch_ops::CoreTable<T> core_table() {
  return {Entry<&run<T>>::call,
          Entry<&copy_states<T>>::call,
          Entry<&rollout_vjp<T>>::call,
          Entry<&MpmFunctions<T>::grid_mass>::call,
          Entry<&MpmFunctions<T>::grid_mass_vjp>::call,
          Entry<&LossFunctions<T>::grid_mass>::call,
          Entry<&LossFunctions<T>::kinetic>::call,
          Entry<&rasterize<T>>::call,
          Entry<&rasterize_vjp<T>>::call,
          Entry<&surface::SurfaceFunctions<T>::evaluate>::call,
          Entry<&surface::SurfaceFunctions<T>::evaluate_vjp>::call};
}

std::uintptr_t operator_table() {
  static constexpr torch_ops::Table table{sizeof(torch_ops::Table), core_table<float>(), core_table<double>(),
                                          Entry<&allocate_bytes>::call, Entry<&release_idle_memory>::call};
  return reinterpret_cast<std::uintptr_t>(&table);
}

template <class T>
void bind(nb::module_& m) {
  m.def(
      "check_properties",
      [](const In<T>& mass, const In<T>& volume, const In<T>& lam, const In<T>& mu) {
        check_properties(static_cast<std::int64_t>(mass.shape(0)), mass.data(), volume.data(), lam.data(), mu.data());
      },
      "mass"_a.noconvert(), "volume"_a.noconvert(), "lam"_a.noconvert(), "mu"_a.noconvert(),
      "Raise ValueError for a particle property that is not finite or has the wrong sign.");
}

}  // namespace

void bind_operators(nb::module_& m) {
  bind<float>(m);
  bind<double>(m);
  m.def("operator_table", &operator_table,
        "Address of the table through which the native PyTorch operators call the core.");
}
