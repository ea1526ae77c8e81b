// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "compute.hpp"
#include "diffmpm/backend.hpp"
#include "diffmpm/surface/fit.hpp"
#include "diffmpm/surface/interpolate.hpp"
#include "native_call.hpp"

using namespace nb::literals;

namespace {

namespace cuda = diffmpm::cuda;
namespace surface = diffmpm::surface;
using diffmpm::backend;
using diffmpm::Buffer;
using diffmpm::Context;
using Indices = nb::ndarray<const std::int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

surface::Body body_of(const In<double>& x, const In<double>& F) {
  return {x.data(), F.data(), static_cast<std::int64_t>(x.shape(0))};
}

nb::dict bind_samples(const In<double>& x, const In<double>& F, std::int64_t samples, std::uint64_t seed,
                      const surface::SurfaceParams& params, const std::optional<In<double>>& carried) {
  const surface::Carried previous{pointer(carried)};
  surface::Binding b =
      without_gil([&] { return surface::bind(body_of(x, F), samples, seed, params, carried ? &previous : nullptr); });
  const auto m = static_cast<std::size_t>(b.samples), k = static_cast<std::size_t>(b.parents);
  nb::dict out;
  out["spacing"] = b.spacing;
  out["parents"] = to_ndarray<const std::int32_t>(std::move(b.parent), {m, k});
  out["offsets"] = to_ndarray<double>(std::move(b.offset), {m, k, 3});
  out["supports"] = to_ndarray<double>(std::move(b.support), {m});
  out["axes"] = to_ndarray<double>(std::move(b.axes), {m, 3, 3});
  out["normals"] = to_ndarray<double>(std::move(b.normal), {m, 3});
  out["kept"] = to_ndarray<std::uint8_t>(std::move(b.kept), {m});
  out["outer"] = to_ndarray<std::uint8_t>(std::move(b.outer), {x.shape(0)});
  return out;
}

Out<std::uint8_t> outer_particles(const In<double>& x, const surface::SurfaceParams& params) {
  return compute<std::uint8_t>({x.shape(0)}, [&](std::uint8_t* flags) {
    surface::outer_particles({x.data(), nullptr, rows(x)}, params, flags);
  });
}

std::tuple<Out<double>, Out<double>, double> fill_fraction(const In<double>& x, const In<double>& points,
                                                           const surface::SurfaceParams& params) {
  const std::size_t n = points.shape(0);
  const Buffer<double> fill(n), gradient(3 * n);
  const double spacing = without_gil([&] {
    return surface::fill_fraction({x.data(), nullptr, rows(x)}, params, points.data(), rows(points), fill.data(),
                                  gradient.data());
  });
  return {to_ndarray(fill, {n}), to_ndarray(gradient, {n, 3}), spacing};
}

// A fitted surface for Python.
class Fitted {
 public:
  explicit Fitted(surface::FittedSurface surface) : surface_(std::move(surface)) {}
  double spacing() const { return surface_.spacing; }
  std::size_t quad_count() const { return surface_.quads.size(); }
  Out<double> vertices() const { return copy<double>(surface_.vertices.data(), surface_.vertices.size() / 3, 3); }
  Out<float> normals() const { return copy<float>(surface_.normals.data(), surface_.normals.size() / 3, 3); }
  std::optional<Out<float>> colors() const {
    if (surface_.colors.empty()) return std::nullopt;
    return copy<float>(surface_.colors.data(), surface_.colors.size() / 3, 3);
  }
  Out<std::int32_t> quads() const {
    return copy<std::int32_t>(surface_.quads.data()->data(), surface_.quads.size(), 4);
  }
  nb::dict cover(int splits, double sigma, double flatness) const {
    const std::size_t m = surface_.quads.size() * static_cast<std::size_t>(splits) * static_cast<std::size_t>(splits);
    const Buffer<float> means(3 * m), scales(3 * m), quats(4 * m), normals(3 * m),
        colors(surface_.colors.empty() ? 0 : 3 * m);
    without_gil([&] {
      surface::cover(surface_, splits, sigma, flatness,
                     {means.data(), scales.data(), quats.data(), normals.data(),
                      surface_.colors.empty() ? nullptr : colors.data()});
      return 0;
    });
    nb::dict out;
    out["means"] = to_ndarray(means, {m, 3}), out["scales"] = to_ndarray(scales, {m, 3});
    out["quats"] = to_ndarray(quats, {m, 4}), out["normals"] = to_ndarray(normals, {m, 3});
    if (!surface_.colors.empty()) out["colors"] = to_ndarray(colors, {m, 3});
    return out;
  }

 private:
  template <class T>
  static Out<T> copy(const T* from, std::size_t rows, std::size_t columns) {
    const Buffer<T> to(rows * columns);
    std::copy_n(from, rows * columns, to.data());
    return to_ndarray(to, {rows, columns});
  }

  surface::FittedSurface surface_;
};

Fitted fit_surface(const In<double>& x, const std::optional<In<float>>& colors, double spacing, double cell,
                   double smoothing) {
  return Fitted(
      without_gil([&] { return surface::fit(x.data(), rows(x), pointer(colors), {spacing, cell, smoothing}); }));
}

// Values of the parents are checked by their users.
template <class T>
void check_sizes(const Indices& parents, const In<T>& offsets, const In<T>& supports, const In<T>& axes,
                 const In<T>& normals) {
  const std::size_t samples = parents.shape(0);
  if (offsets.size() != 3 * parents.size() || supports.size() != samples || axes.size() != 9 * samples ||
      normals.size() != 3 * samples)
    throw std::invalid_argument("parents: expected as many rows as the other arrays of the binding have, got others");
}

template <class T>
surface::BindingView<T> view(const In<T>& x, const Indices& parents, const In<T>& offsets, const In<T>& supports,
                             const In<T>& axes, const In<T>& normals) {
  surface::BindingView<T> b;
  b.samples = static_cast<std::int64_t>(parents.shape(0)), b.particles = static_cast<std::int64_t>(x.shape(0));
  b.parents = static_cast<int>(parents.shape(1)), b.parent = parents.data();
  b.offset = offsets.data(), b.support = supports.data(), b.axes = axes.data(), b.normal = normals.data();
  check_sizes(parents, offsets, supports, axes, normals);
  return b;
}

template <class T>
std::tuple<Out<T>, Out<T>, Out<T>, Out<T>> evaluate(const In<T>& x, const In<T>& F, const Indices& parents,
                                                    const In<T>& offsets, const In<T>& supports, const In<T>& axes,
                                                    const In<T>& normals, double sigma0) {
  const surface::BindingView<T> b = view(x, parents, offsets, supports, axes, normals);
  const std::size_t m = parents.shape(0), k = parents.shape(1);
  const Buffer<T> means(3 * m), covars(9 * m), directions(3 * m), weights(m * k);
  {
    const NativeCall call;
    backend<T>({}).surface.evaluate({}, b, x.data(), F.data(), static_cast<T>(sigma0),
                                    {means.data(), covars.data(), directions.data(), weights.data()});
  }
  return {to_ndarray(means, {m, 3}), to_ndarray(covars, {m, 3, 3}), to_ndarray(directions, {m, 3}),
          to_ndarray(weights, {m, k})};
}

template <class T>
std::tuple<Out<T>, Out<T>, double> evaluate_vjp(const In<T>& x, const In<T>& F, const Indices& parents,
                                                const In<T>& offsets, const In<T>& supports, const In<T>& axes,
                                                const In<T>& normals, double sigma0,
                                                const std::optional<In<T>>& adj_means,
                                                const std::optional<In<T>>& adj_covars,
                                                const std::optional<In<T>>& adj_normals,
                                                const std::optional<In<T>>& adj_weights) {
  const surface::BindingView<T> b = view(x, parents, offsets, supports, axes, normals);
  const std::size_t n = x.shape(0);
  const Buffer<T> adj_x(3 * n), adj_F(9 * n);
  double adj_sigma0 = 0;
  {
    const NativeCall call;
    backend<T>({}).surface.evaluate_vjp(
        {}, b, x.data(), F.data(), static_cast<T>(sigma0),
        {pointer(adj_means), pointer(adj_covars), pointer(adj_normals), pointer(adj_weights)}, adj_x.data(),
        adj_F.data(), &adj_sigma0);
  }
  return {to_ndarray(adj_x, {n, 3}), to_ndarray(adj_F, {n, 3, 3}), adj_sigma0};
}

template <class T>
void bind_evaluation(nb::module_& m) {
  m.def("surface_evaluate", &evaluate<T>, "x"_a.noconvert(), "F"_a.noconvert(), "parents"_a.noconvert(),
        "offsets"_a.noconvert(), "supports"_a.noconvert(), "axes"_a.noconvert(), "normals"_a.noconvert(), "sigma0"_a);
  m.def("surface_evaluate_vjp", &evaluate_vjp<T>, "x"_a.noconvert(), "F"_a.noconvert(), "parents"_a.noconvert(),
        "offsets"_a.noconvert(), "supports"_a.noconvert(), "axes"_a.noconvert(), "normals"_a.noconvert(), "sigma0"_a,
        "adj_means"_a.noconvert().none(), "adj_covars"_a.noconvert().none(), "adj_normals"_a.noconvert().none(),
        "adj_weights"_a.noconvert().none());
}

// A binding in device memory, on the stream that was current when it was made. Children of particles are computed once, for the
// first adjoint.
template <class T>
class DeviceBinding {
 public:
  // From host arrays.
  DeviceBinding(const Indices& parents, const In<T>& offsets, const In<T>& supports, const In<T>& axes,
                const In<T>& normals, std::int64_t particles, int device)
      : DeviceBinding(parents.shape(0), parents.shape(1), particles, device) {
    const DeviceScope scope(context_.device);
    const std::size_t slots = parents.size();
    check_sizes(parents, offsets, supports, axes, normals);
    view_.parent =
        upload(surface::checked_parents(view_.samples, view_.parents, particles, parents.data()).data(), slots),
    view_.offset = upload(offsets.data(), 3 * slots);
    view_.support = upload(supports.data(), supports.size()), view_.axes = upload(axes.data(), axes.size());
    view_.normal = upload(normals.data(), normals.size());
  }

  // From device arrays; that of the parents holds the bits of integers.
  DeviceBinding(const DeviceArray& parents, const DeviceArray& offsets, const DeviceArray& supports,
                const DeviceArray& axes, const DeviceArray& normals, std::int64_t particles)
      : DeviceBinding(parents.shape[0], parents.shape[1], particles, parents.device) {
    memory_ = {parents.memory, offsets.memory, supports.memory, axes.memory, normals.memory};
    view_.parent = parents.data<const std::int32_t>(), view_.offset = offsets.data<T>();
    view_.support = supports.data<T>(), view_.axes = axes.data<T>(), view_.normal = normals.data<T>();
  }

  std::tuple<DeviceArray, DeviceArray, DeviceArray, DeviceArray> evaluate(const DeviceArray& x, const DeviceArray& F,
                                                                          double sigma0) const {
    const auto m = static_cast<std::size_t>(view_.samples), k = static_cast<std::size_t>(view_.parents);
    DeviceArray means = make({m, 3}), covars = make({m, 3, 3}), normals = make({m, 3}), weights = make({m, k});
    const StreamGuard guard(context_);
    backend<T>(context_).surface.evaluate(context_, view_, x.data<T>(), F.data<T>(), static_cast<T>(sigma0),
                                          {means.data<T>(), covars.data<T>(), normals.data<T>(), weights.data<T>()});
    return {std::move(means), std::move(covars), std::move(normals), std::move(weights)};
  }

  std::tuple<DeviceArray, DeviceArray, DeviceArray> vjp(const DeviceArray& x, const DeviceArray& F, double sigma0,
                                                        const std::optional<DeviceArray>& adj_means,
                                                        const std::optional<DeviceArray>& adj_covars,
                                                        const std::optional<DeviceArray>& adj_normals,
                                                        const std::optional<DeviceArray>& adj_weights) {
    const auto data = [](const std::optional<DeviceArray>& a) { return a ? a->data<const T>() : nullptr; };
    DeviceArray adj_x = make({x.shape[0], 3}), adj_F = make({x.shape[0], 3, 3});
    DeviceArray adj_sigma0 = new_device_array({}, nb::dtype<double>(), context_.device);
    const StreamGuard guard(context_);
    find_children();
    backend<T>(context_).surface.evaluate_vjp(context_, view_, x.data<T>(), F.data<T>(), static_cast<T>(sigma0),
                                              {data(adj_means), data(adj_covars), data(adj_normals), data(adj_weights)},
                                              adj_x.data<T>(), adj_F.data<T>(), adj_sigma0.data<double>());
    return {std::move(adj_x), std::move(adj_F), std::move(adj_sigma0)};
  }

 private:
  DeviceBinding(std::size_t samples, std::size_t parents, std::int64_t particles, int device)
      : context_{device, current_stream(device)} {
    view_.samples = static_cast<std::int64_t>(samples), view_.parents = static_cast<int>(parents);
    view_.particles = particles;
  }
  void find_children() {
    if (view_.child) return;
    const std::int64_t slots = view_.samples * view_.parents;
    auto* start = allocate<std::int32_t>(static_cast<std::size_t>(view_.particles) + 1);
    auto* child = allocate<std::int32_t>(static_cast<std::size_t>(slots));
    backend<T>(context_).surface.find_children(context_, view_.particles, slots, view_.parent, start, child);
    view_.child_start = start, view_.child = child;
  }
  DeviceArray make(std::vector<std::size_t> shape) const {
    return new_device_array(std::move(shape), nb::dtype<T>(), context_.device);
  }
  template <class V>
  V* allocate(std::size_t count) {
    return static_cast<V*>(memory_.emplace_back(cuda::allocate(count * sizeof(V), context_.stream)).get());
  }
  template <class V>
  const V* upload(const V* from, std::size_t count) {
    V* to = allocate<V>(count);
    cuda::upload(to, from, count * sizeof(V), context_.stream);
    return to;
  }

  Context context_;
  std::vector<std::shared_ptr<void>> memory_;
  surface::BindingView<T> view_;
};

template <class T>
void bind_device_binding(nb::module_& m, const char* name) {
  nb::class_<DeviceBinding<T>>(m, name)
      .def(nb::init<const Indices&, const In<T>&, const In<T>&, const In<T>&, const In<T>&, std::int64_t, int>(),
           "parents"_a.noconvert(), "offsets"_a.noconvert(), "supports"_a.noconvert(), "axes"_a.noconvert(),
           "normals"_a.noconvert(), "particles"_a, "device"_a)
      .def(nb::init<const DeviceArray&, const DeviceArray&, const DeviceArray&, const DeviceArray&, const DeviceArray&,
                    std::int64_t>(),
           "parents"_a, "offsets"_a, "supports"_a, "axes"_a, "normals"_a, "particles"_a)
      .def("evaluate", &DeviceBinding<T>::evaluate, "x"_a, "F"_a, "sigma0"_a)
      .def("vjp", &DeviceBinding<T>::vjp, "x"_a, "F"_a, "sigma0"_a, "adj_means"_a.none(), "adj_covars"_a.none(),
           "adj_normals"_a.none(), "adj_weights"_a.none());
}

}  // namespace

void bind_surface(nb::module_& m) {
  using surface::SurfaceParams;
  nb::class_<SurfaceParams>(m, "SurfaceParams", "Options of the surface; private, see diffmpm.SurfaceConfig.")
      .def(nb::init<>())
      .def_rw("spacing", &SurfaceParams::spacing)
      .def_rw("kernel_radius", &SurfaceParams::kernel_radius)
      .def_rw("smoothing", &SurfaceParams::smoothing)
      .def_rw("level", &SurfaceParams::level)
      .def_rw("parents", &SurfaceParams::parents)
      .def_rw("weight_radius", &SurfaceParams::weight_radius)
      .def_rw("relaxation", &SurfaceParams::relaxation)
      .def_rw("flatness", &SurfaceParams::flatness)
      .def_rw("stretch_limit", &SurfaceParams::stretch_limit);
  m.def("surface_bind", &bind_samples, "x"_a.noconvert(), "F"_a.noconvert(), "samples"_a, "seed"_a, "params"_a,
        "carried"_a.noconvert().none());
  m.def("surface_outer", &outer_particles, "x"_a.noconvert(), "params"_a);
  m.def("surface_fill", &fill_fraction, "x"_a.noconvert(), "points"_a.noconvert(), "params"_a,
        "Fill fraction (P,), its gradient (P, 3), and the particle spacing.");
  nb::class_<Fitted>(m, "FittedSurface", "Surface of one frame; private, see diffmpm.surface.fit.")
      .def_prop_ro("spacing", &Fitted::spacing)
      .def_prop_ro("quad_count", &Fitted::quad_count)
      .def_prop_ro("vertices", &Fitted::vertices, nb::rv_policy::move)
      .def_prop_ro("normals", &Fitted::normals, nb::rv_policy::move)
      .def_prop_ro("colors", &Fitted::colors, nb::rv_policy::move)
      .def_prop_ro("quads", &Fitted::quads, nb::rv_policy::move)
      .def("cover", &Fitted::cover, "splits"_a, "sigma"_a, "flatness"_a);
  m.def("surface_fit", &fit_surface, "x"_a.noconvert(), "colors"_a.noconvert().none(), "spacing"_a, "cell"_a,
        "smoothing"_a);
  m.attr("MAX_PARENTS") = surface::kMaxParents;
  bind_evaluation<float>(m);
  bind_evaluation<double>(m);
  bind_device_binding<float>(m, "DeviceBinding32");
  bind_device_binding<double>(m, "DeviceBinding64");
}
