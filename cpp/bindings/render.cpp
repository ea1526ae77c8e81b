// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "diffmpm/backend.hpp"
#include "native_call.hpp"

using namespace nb::literals;
using namespace diffmpm;

namespace {

// A rasterization and the arrays that its adjoint reads again.
template <class T>
struct Images {
  ArrayArg<T> means;
  std::optional<ArrayArg<T>> covars, quats, scales;
  ArrayArg<T> opacities, colors;
  std::optional<ArrayArg<T>> backgrounds;
  Context context;
  std::unique_ptr<Rasterization<T>> raster;
};

std::size_t size_of(std::int64_t n) { return static_cast<std::size_t>(n); }

template <class T>
void construct(Images<T>* self, const ArrayArg<T>& means, const std::optional<ArrayArg<T>>& covars,
               const std::optional<ArrayArg<T>>& quats, const std::optional<ArrayArg<T>>& scales,
               const ArrayArg<T>& opacities, const ArrayArg<T>& colors, const std::optional<ArrayArg<T>>& backgrounds,
               const ArrayArg<double>& viewmats, const ArrayArg<double>& intrinsics, int width, int height,
               double near_plane) {
  if (!(near_plane > 0 && near_plane < 1e300))
    throw std::invalid_argument("near_plane: expected a distance above 0, got another number");
  RasterInput<T> in;
  in.count = static_cast<std::int64_t>(means.shape(0)), in.width = width, in.height = height;
  in.near_plane = near_plane;
  in.channels = static_cast<int>(colors.shape(colors.axes() - 1)), in.colors_per_camera = colors.axes() == 3;
  in.cameras = static_cast<int>(viewmats.shape(0));
  in.means = means.data(), in.covars = pointer(covars), in.quats = pointer(quats), in.scales = pointer(scales);
  in.opacities = opacities.data(), in.colors = colors.data(), in.backgrounds = pointer(backgrounds);
  in.viewmats = viewmats.data(), in.intrinsics = intrinsics.data(), in.cameras_on_device = viewmats.on_device();
  const DeviceScope scope(means.device());
  new (self) Images<T>{means, covars, quats, scales, opacities, colors, backgrounds, scope, nullptr};
  try {
    const NativeCall call;
    self->raster = backend<T>(scope).render.rasterize(scope, in);
  } catch (...) {
    self->~Images<T>();
    throw;
  }
}

// An image (C, H, W) or (C, H, W, channels).
template <class T>
ArrayResult<T> image(const Images<T>& self, const Buffer<T>& values, int channels) {
  const RasterInput<T>& in = self.raster->input();
  const std::size_t c = size_of(in.cameras), h = size_of(in.height), w = size_of(in.width);
  const int device = self.means.device();
  return channels > 0 ? to_ndarray(values, {c, h, w, size_of(channels)}, device)
                      : to_ndarray(values, {c, h, w}, device);
}

template <class T>
Out<std::int64_t> status_counts(const Images<T>& self) {
  const StreamGuard guard(self.context);
  const auto cameras = size_of(self.raster->input().cameras);
  return to_ndarray<std::int64_t>(self.raster->status_counts(), {cameras, size_of(kStatusCount)});
}

template <class T>
Out<std::int64_t> entry_counts(const Images<T>& self) {
  const StreamGuard guard(self.context);
  return to_ndarray<std::int64_t>(self.raster->entry_counts(), {size_of(self.raster->input().cameras)});
}

// Counts in device memory: 64-bit integers, returned as the bits of float64.
template <class T>
std::pair<DeviceArray, DeviceArray> counts_on_device(const Images<T>& self) {
  const DrawnImages<T>& drawn = self.raster->images();
  const std::size_t cameras = size_of(self.raster->input().cameras);
  const int device = self.means.device();
  return {{drawn.status_counts.owner(), {cameras, size_of(kStatusCount)}, nb::dtype<double>(), device},
          {drawn.entry_counts.owner(), {cameras}, nb::dtype<double>(), device}};
}

template <class T>
nb::dict vjp(const Images<T>& self, const std::optional<ArrayArg<T>>& adj_color,
             const std::optional<ArrayArg<T>>& adj_alpha, const std::optional<ArrayArg<T>>& adj_depth,
             const nb::sequence& wrt) {
  const RasterInput<T>& in = self.raster->input();
  const std::size_t n = size_of(in.count), k = size_of(in.channels), c = size_of(in.cameras);
  const int device = self.means.device();
  const StreamGuard guard(self.context);
  RasterGradients<T> g;
  nb::dict out;
  for (const std::string& name : items<std::string>(wrt)) {
    const auto request_gradient = [&]<class V>(const char* which, V*& target, std::initializer_list<std::size_t> shape,
                                               int where) {
      if (name != which) return;
      const OutputArray<V> array(where, shape);
      target = array.data();
      out[which] = array.result();
    };
    request_gradient("means", g.means, {n, 3}, device), request_gradient("covars", g.covars, {n, 3, 3}, device),
        request_gradient("opacities", g.opacities, {n}, device);
    request_gradient("quats", g.quats, {n, 4}, device), request_gradient("scales", g.scales, {n, 3}, device);
    in.colors_per_camera ? request_gradient("colors", g.colors, {c, n, k}, device)
                         : request_gradient("colors", g.colors, {n, k}, device);
    request_gradient("backgrounds", g.backgrounds, {c, k}, device);
    request_gradient("viewmats", g.viewmats, {c, 4, 4}, in.cameras_on_device ? device : kNoDevice);
    request_gradient("means2d", g.means2d, {c, n, 2}, device);
  }
  {
    const NativeCall call;
    self.raster->vjp({pointer(adj_color), pointer(adj_alpha), pointer(adj_depth)}, g);
  }
  return out;
}

// Names of the differentiable inputs that were passed.
template <class T>
std::vector<std::string> inputs(const Images<T>& self) {
  std::vector<std::string> names = {"means", "opacities", "colors", "viewmats", "means2d"};
  if (self.covars) names.push_back("covars");
  if (self.quats) names.insert(names.end(), {"quats", "scales"});
  if (self.backgrounds) names.push_back("backgrounds");
  return names;
}

// Values of every Gaussian in every camera, (C, N) or (C, N, 2).
template <class T>
ArrayResult<T> per_splat(const Images<T>& self, const Buffer<T>& values, bool pair) {
  const std::size_t c = size_of(self.raster->input().cameras), n = size_of(self.raster->input().count);
  const int device = self.means.device();
  return pair ? to_ndarray(values, {c, n, 2}, device) : to_ndarray(values, {c, n}, device);
}

template <class T>
void bind(nb::module_& m, const char* name) {
  using I = Images<T>;
  constexpr auto policy = nb::rv_policy::automatic;  // the arrays own their memory
  nb::class_<I>(m, name, "Images of Gaussians; private, see diffmpm.rasterize.")
      .def("__init__", &construct<T>, "means"_a, "covars"_a.none(), "quats"_a.none(), "scales"_a.none(), "opacities"_a,
           "colors"_a, "backgrounds"_a.none(), "viewmats"_a, "Ks"_a, "width"_a, "height"_a, "near_plane"_a = kNearPlane)
      .def_prop_ro(
          "color", [](const I& s) { return image(s, s.raster->images().color, s.raster->input().channels); }, policy)
      .def_prop_ro(
          "alpha", [](const I& s) { return image(s, s.raster->images().alpha, 0); }, policy)
      .def_prop_ro(
          "depth", [](const I& s) { return image(s, s.raster->images().depth, 0); }, policy)
      .def_prop_ro(
          "means2d", [](const I& s) { return per_splat(s, s.raster->images().means2d, true); }, policy)
      .def_prop_ro(
          "extents", [](const I& s) { return per_splat(s, s.raster->images().extents, true); }, policy)
      .def_prop_ro(
          "depths", [](const I& s) { return per_splat(s, s.raster->images().depths, false); }, policy)
      .def_prop_ro("inputs", &inputs<T>)
      .def_prop_ro("status_counts", &status_counts<T>, policy)
      .def_prop_ro("counts_on_device", &counts_on_device<T>, policy)
      .def_prop_ro("entry_counts", &entry_counts<T>, policy)
      .def("vjp", &vjp<T>, "adj_color"_a.none(), "adj_alpha"_a.none(), "adj_depth"_a.none(), "wrt"_a);
}

}  // namespace

void bind_render(nb::module_& m) {
  bind<float>(m, "Rasterization32");
  bind<double>(m, "Rasterization64");
}
