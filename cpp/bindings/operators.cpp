// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// What the PyTorch operators need of the core: the table for the native ones, a few functions for those in Python.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "../torch/table.hpp"
#include "arrays.hpp"
#include "bound_rollout.hpp"
#include "diffmpm/backend.hpp"
#include "native_call.hpp"

using namespace nb::literals;
using namespace diffmpm;
using torch_ops::Failure;

namespace {

// Runs `work`; exceptions become a failure, because they must not cross into a library built by other rules.
template <class Work>
void guarded(Failure& failure, const Work& work) {
  static constexpr const char* kCauses[] = {"left_grid", "not_finite", "inverted", "degenerate"};
  try {
    const Call call(check_signals);
    work();
  } catch (const StepError& error) {
    failure = {kCauses[static_cast<int>(error.cause)], error.what(), error.particle, error.step};
  } catch (const nb::python_error&) {
    failure = {"interrupted", "interrupted"};
  } catch (const std::bad_alloc& error) {
    failure = {"memory", error.what()};
  } catch (const std::exception& error) {
    failure = {"argument", error.what()};
  }
}

template <class T>
void check_one(const T* values, std::int64_t count, const char* name, bool zero) {
  for (std::int64_t p = 0; p < count; ++p)
    if (!std::isfinite(values[p]) || values[p] < T(0) || (!zero && values[p] == T(0)))
      throw std::invalid_argument(std::string(name) + ": expected finite values " + (zero ? ">= 0" : "> 0") + ", got " +
                                  std::to_string(values[p]) + " at index " + std::to_string(p));
}

template <class T>
void check_constants(std::int64_t count, const T* mass, const T* volume, const T* lam, const T* mu) {
  check_one(mass, count, "mass", false);
  check_one(volume, count, "volume", false);
  check_one(lam, count, "lam", true);
  check_one(mu, count, "mu", true);
}

// The limits of SimConfig in python/diffmpm/config.py, for what does not come from one.

void check_whole(std::int64_t value, const char* name, std::int64_t least, std::int64_t most) {
  if (value < least || value > most)
    throw std::invalid_argument(std::string(name) + ": expected an integer from " + std::to_string(least) + " to " +
                                std::to_string(most) + ", got " + std::to_string(value));
}

void check_number(double value, const char* name, bool good, const char* expected = "") {
  constexpr double kSmallest = 1e-30, kLargest = 1e30;
  const double size = std::abs(value);
  if (!(good && size <= kLargest && (size == 0 || size >= kSmallest || *expected == 0)))
    throw std::invalid_argument(std::string(name) + ": expected a finite number" + expected + ", got " +
                                std::to_string(value));
}

void check_params(const MpmParams& p) {
  check_number(p.dx, "dx", p.dx > 0, " > 0");
  check_number(p.dt, "dt", p.dt > 0, " > 0");
  for (const double value : p.origin) check_number(value, "origin", true);
  check_number(p.smoothing, "smoothing", p.smoothing >= 0 && p.smoothing < 1, " >= 0 and < 1");
  check_number(p.shear_viscosity, "shear_viscosity", p.shear_viscosity >= 0, " >= 0");
  check_number(p.bulk_viscosity, "bulk_viscosity", p.bulk_viscosity >= 0, " >= 0");
  check_number(p.damping, "damping", p.damping >= 0 && p.damping < 1, " >= 0 and < 1");
  for (const double value : p.gravity) check_number(value, "gravity", true);
  check_number(p.drag, "drag", p.drag >= 0, " >= 0");
  for (const Collider& c : p.colliders) {
    for (const double value : c.point) check_number(value, "colliders", true);
    for (const double value : c.normal) check_number(value, "colliders", true);
    const bool sphere = c.shape == ColliderShape::sphere;
    check_number(c.radius, "colliders", sphere ? c.radius > 0 : c.radius == 0, sphere ? " > 0 as a radius" : "");
  }
}

MpmParams unpack(const std::vector<std::int64_t>& whole, const std::vector<double>& real) {
  constexpr std::size_t kWhole = 8, kReal = 13;
  const std::size_t colliders = whole.size() < kWhole ? 0 : (whole.size() - kWhole) / 2;
  if (whole.size() != kWhole + 2 * colliders || real.size() != kReal + 7 * colliders)
    throw std::invalid_argument("config: expected the two lists of diffmpm.torch.pack_config, got other lengths");
  if (colliders > static_cast<std::size_t>(kMaxColliders))
    throw std::invalid_argument("colliders: expected at most " + std::to_string(kMaxColliders) + ", got " +
                                std::to_string(colliders));
  for (std::size_t r = 0; r < 3; ++r) check_whole(whole[r], "dims", 8, 1 << 20);
  check_whole(whole[3], "basis", 0, 1), check_whole(whole[4], "material", 0, 1);
  check_whole(whole[5], "boundary", 0, 3), check_whole(whole[6], "boundary_nodes", 0, 1 << 20);
  check_whole(whole[7], "volume_carried", 0, 1);
  for (std::size_t n = 0; n < colliders; ++n)
    check_whole(whole[kWhole + 2 * n], "colliders", 0, 1), check_whole(whole[kWhole + 2 * n + 1], "colliders", 1, 3);
  MpmParams p;
  for (int r = 0; r < 3; ++r) p.dims[r] = static_cast<Index>(whole[static_cast<std::size_t>(r)]);
  p.basis = static_cast<Basis>(whole[3]), p.material = static_cast<Material>(whole[4]);
  p.boundary = static_cast<Boundary>(whole[5]), p.boundary_nodes = static_cast<Index>(whole[6]);
  p.volume_carried = whole[7] != 0;
  p.dx = real[0], p.dt = real[1];
  for (std::size_t r = 0; r < 3; ++r) p.origin[r] = real[2 + r];
  p.smoothing = real[5], p.shear_viscosity = real[6], p.bulk_viscosity = real[7], p.damping = real[8];
  for (std::size_t r = 0; r < 3; ++r) p.gravity[r] = real[9 + r];
  p.drag = real[12];
  for (std::size_t n = 0; n < colliders; ++n) {
    Collider c;
    c.shape = static_cast<ColliderShape>(whole[kWhole + 2 * n]);
    c.mode = static_cast<Boundary>(whole[kWhole + 2 * n + 1]);
    const double* from = real.data() + kReal + 7 * n;
    for (int r = 0; r < 3; ++r) c.point[r] = from[r], c.normal[r] = from[3 + r];
    c.radius = from[6];
    p.colliders.push_back(c);
  }
  check_params(p);
  return p;
}

template <class T>
std::shared_ptr<Rollout<T>> run(const MpmParams& params, const RolloutInput<T>& input, Failure& failure) {
  std::shared_ptr<Rollout<T>> roll;
  guarded(failure, [&] {
    check_constants(input.count, input.mass, input.volume, input.lam, input.mu);
    roll = backend<T>({}).mpm.rollout({}, params, input);
  });
  return roll;
}

template <class T>
void states(Rollout<T>& roll, const std::vector<std::int64_t>& layers, T* x, T* v, T* C, T* F, T* G) {
  const auto at = [&](T* first, std::size_t k, std::int64_t width) {
    return first ? first + static_cast<std::int64_t>(k) * roll.count() * width : nullptr;
  };
  for (std::size_t k = 0; k < layers.size(); ++k)
    roll.state(layers[k], at(x, k, 3), at(v, k, 3), at(C, k, 9), at(F, k, 9), at(G, k, 9));
}

Buffer<std::int64_t> copied(const std::int64_t* values, std::size_t count) {
  const Buffer<std::int64_t> out(count);
  std::copy_n(values, count, out.data());
  return out;
}

template <class T>
std::shared_ptr<Rasterization<T>> rasterize(const RasterInput<T>& in, torch_ops::RasterImages<T>& out,
                                            Failure& failure) {
  std::shared_ptr<Rasterization<T>> raster;
  guarded(failure, [&] {
    raster = backend<T>({}).render.rasterize({}, in);
    const auto cameras = static_cast<std::size_t>(in.cameras);
    out = {raster->images().color,
           raster->images().alpha,
           raster->images().depth,
           raster->images().means2d,
           raster->images().extents,
           raster->images().depths,
           copied(raster->status_counts().data(), cameras * kStatusCount),
           copied(raster->entry_counts().data(), cameras)};
  });
  return raster;
}

template <class T>
torch_ops::CoreTable<T> core_table() {
  torch_ops::CoreTable<T> t;
  t.run = run<T>;
  t.states = [](Rollout<T>& roll, const std::vector<std::int64_t>& layers, T* x, T* v, T* C, T* F, T* G,
                Failure& failure) { guarded(failure, [&] { states(roll, layers, x, v, C, F, G); }); };
  t.vjp = [](Rollout<T>& roll, const std::vector<StateAdjoint<T>>& adjoints, RolloutGradients<T>& out,
             Failure& failure) { guarded(failure, [&] { roll.vjp(adjoints, out); }); };
  t.grid_mass = [](const MpmParams& params, std::int64_t count, const T* x, const T* mass, T* out, Failure& failure) {
    guarded(failure, [&] { backend<T>({}).mpm.grid_mass({}, params, count, x, mass, out); });
  };
  t.grid_mass_vjp = [](const MpmParams& params, std::int64_t count, const T* x, const T* mass, const T* adj_out,
                       T* adj_x, T* adj_mass, Failure& failure) {
    guarded(failure, [&] { backend<T>({}).mpm.grid_mass_vjp({}, params, count, x, mass, adj_out, adj_x, adj_mass); });
  };
  t.mass_loss = [](MassLoss loss, std::int64_t count, const T* m, const T* target, T m_ref, T outside_weight,
                   T* adj_m) {
    const Call call(check_signals);
    double value = 0;
    backend<T>({}).losses.grid_mass({}, loss, count, m, target, m_ref, outside_weight, adj_m, &value);
    return value;
  };
  t.kinetic_loss = [](std::int64_t count, const T* v, T* adj_v) {
    const Call call(check_signals);
    double value = 0;
    backend<T>({}).losses.kinetic({}, count, v, adj_v, &value);
    return value;
  };
  t.rasterize = rasterize<T>;
  t.rasterize_vjp = [](const Rasterization<T>& raster, const RasterAdjoint<T>& adj, const RasterGradients<T>& out,
                       Failure& failure) { guarded(failure, [&] { raster.vjp(adj, out); }); };
  t.surface = [](const surface::BindingView<T>& binding, const T* x, const T* F, T sigma0,
                 const surface::GaussianArrays<T>& out, Failure& failure) {
    guarded(failure, [&] { backend<T>({}).surface.evaluate({}, binding, x, F, sigma0, out); });
  };
  t.surface_vjp = [](const surface::BindingView<T>& binding, const T* x, const T* F, T sigma0,
                     const surface::GaussianArrays<const T>& adj, T* adj_x, T* adj_F, Failure& failure) {
    double adj_sigma0 = 0;
    guarded(failure,
            [&] { backend<T>({}).surface.evaluate_vjp({}, binding, x, F, sigma0, adj, adj_x, adj_F, &adj_sigma0); });
    return adj_sigma0;
  };
  return t;
}

std::uintptr_t operator_table() {
  static const torch_ops::Table table{
      sizeof(torch_ops::Table), core_table<float>(), core_table<double>(),
      [](std::size_t bytes) {
        std::shared_ptr<void> memory;
        Failure failure;
        guarded(failure, [&] { memory = allocate_bytes(bytes); });
        return memory;
      },
      [](const std::vector<std::int64_t>& whole, const std::vector<double>& real, Failure& failure) {
        MpmParams params;
        guarded(failure, [&] { params = unpack(whole, real); });
        return params;
      }};
  return reinterpret_cast<std::uintptr_t>(&table);
}

// Stacked layers of a rollout: x, v (K, N, 3), C, F (K, N, 3, 3) and G, which is (0,) where the rollout has none.
template <class T>
nb::tuple stacked_states(BoundRollout<T>& trajectory, const std::vector<std::int64_t>& layers) {
  Rollout<T>& roll = *trajectory.rollout;
  const std::size_t k = layers.size(), n = static_cast<std::size_t>(roll.count());
  const StreamGuard guard(trajectory.context);
  const std::vector<std::size_t> vector{k, n, 3}, matrix{k, n, 3, 3}, none{0};
  const bool motion = roll.motion_gradient();
  const auto make = [&](const std::vector<std::size_t>& shape) {
    return OutputArray<T>(trajectory.context.device, shape);
  };
  const OutputArray<T> x = make(vector), v = make(vector), C = make(matrix), F = make(matrix),
                       G = make(motion ? matrix : none);
  {
    const NativeCall call;
    states(roll, layers, x.data(), v.data(), C.data(), F.data(), motion ? G.data() : nullptr);
  }
  return nb::make_tuple(x.result(), v.result(), C.result(), F.result(), G.result());
}

template <class T>
void bind(nb::module_& m) {
  m.def("stacked_states", &stacked_states<T>, "rollout"_a, "layers"_a);
  m.def(
      "check_constants",
      [](const In<T>& mass, const In<T>& volume, const In<T>& lam, const In<T>& mu) {
        check_constants(static_cast<std::int64_t>(mass.shape(0)), mass.data(), volume.data(), lam.data(), mu.data());
      },
      "mass"_a.noconvert(), "volume"_a.noconvert(), "lam"_a.noconvert(), "mu"_a.noconvert(),
      "Raise ValueError where a constant is not finite or has the wrong sign.");
}

}  // namespace

void bind_operators(nb::module_& m) {
  bind<float>(m);
  bind<double>(m);
  m.def("unpack_params", &unpack, "whole"_a, "real"_a, "Options from the two lists of an operator.");
  m.def("operator_table", &operator_table, "Address of the table that the native PyTorch operators call the core by.");
}
