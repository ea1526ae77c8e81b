// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// The operators of the surface and of pictures; see simulation.cpp.
#include <cmath>
#include <sstream>

#include "diffmpm/surface/interpolate.hpp"
#include "tensors.hpp"

namespace {

using namespace diffmpm;
using namespace diffmpm::torch_ops;

// A rasterization with the arrays that its adjoint reads again.
template <class T>
struct Images {
  Input<T> means, covars, quats, scales, opacities, colors, backgrounds;
  std::shared_ptr<Rasterization<T>> raster;
};

// Limits, as in python/diffmpm/torch/_checks.py.
constexpr std::int64_t kMostPixels = 1 << 15;  // of an edge
constexpr std::int64_t kMostChannels = 1 << 15;
constexpr std::int64_t kMostCameras = 1 << 20;
constexpr std::int64_t kGradients = 9;   // inputs of a picture that have one
constexpr double kMostNumbers = 0x1p50;  // of images

std::string numbers_text(const double* values, int count) {
  std::ostringstream text;
  for (int k = 0; k < count; ++k) text << (k > 0 ? ", " : "(") << values[k];
  return text.str() + ")";
}

// The checks and words of python/diffmpm/render/camera.py.
void check_cameras(const double* viewmats, const double* Ks, std::int64_t count) {
  constexpr double kTolerance = 1e-6;
  const auto is = [](double value, double expected) { return std::abs(value - expected) <= kTolerance; };
  const auto check_finite = [&](const double* values, const char* name, int size) {
    for (std::int64_t n = 0; n < count * size; ++n)
      if (!std::isfinite(values[n]))
        refuse(std::string(name) + ": expected finite values, got " + std::to_string(values[n]));
  };
  check_finite(viewmats, "viewmats", 16), check_finite(Ks, "Ks", 9);
  for (std::int64_t c = 0; c < count; ++c) {
    const double *const last = viewmats + 16 * c + 12, *const K = Ks + 9 * c;
    if (!(is(last[0], 0) && is(last[1], 0) && is(last[2], 0) && is(last[3], 1)))
      refuse("viewmats: expected a last row of (0, 0, 0, 1), got " + numbers_text(last, 4) +
             "; pass world-to-camera matrices that act on columns, not their transposes");
    if (!(is(K[1], 0) && is(K[3], 0) && is(K[6], 0) && is(K[7], 0) && is(K[8], 1)))
      refuse("Ks: expected ((fx, 0, cx), (0, fy, cy), (0, 0, 1)) without skew, got " + numbers_text(K, 9) +
             "; undistort the images");
    if (!(K[0] > 0 && K[4] > 0)) refuse("Ks: expected focal lengths > 0, got " + numbers_text(K, 9));
  }
}

// Colour, alpha, depth, means2d, radii, depths, counts by status, tile entries, and the owner.
using RasterResult = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

RasterResult op_rasterize(Tensor means, MaybeTensor covars, MaybeTensor quats, MaybeTensor scales, Tensor opacities,
                          Tensor colors, MaybeTensor backgrounds, Tensor viewmats, Tensor Ks, std::int64_t width,
                          std::int64_t height, double near_plane) {
  return dispatch(means, "means", [&]<class T>() -> RasterResult {
    const char* const of = "means";
    const Input<T> centres(means, of, {kAny, 3});
    const std::int64_t n = means.size(0), h = height, w = width;
    const Input<double> views(viewmats, "viewmats", {kAny, 4, 4}, nullptr);
    const std::int64_t c = viewmats.size(0);
    const bool per_camera = colors.defined() && colors.dim() == 3;
    auto images =
        std::make_shared<Images<T>>(Images<T>{centres,
                                              {covars, "covars", {n, 3, 3}, of},
                                              {quats, "quats", {n, 4}, of},
                                              {scales, "scales", {n, 3}, of},
                                              {opacities, "opacities", {n}, of},
                                              {colors, "colors", per_camera ? Shape{c, n, kAny} : Shape{n, kAny}, of},
                                              {},
                                              nullptr});
    const std::int64_t k = colors.size(colors.dim() - 1);
    images->backgrounds = Input<T>(backgrounds, "backgrounds", {c, k}, of);
    const Input<double> intrinsics(Ks, "Ks", {c, 3, 3}, nullptr);
    if (covars.has_value() == quats.has_value() || quats.has_value() != scales.has_value())
      refuse("covars: expected either covars or quats and scales, got another combination; pass one of them");
    check_range(k, "channels of colors", 1, kMostChannels), check_range(c, "cameras", 1, kMostCameras);
    check_range(width, "width", 1, kMostPixels), check_range(height, "height", 1, kMostPixels);
    if (static_cast<double>(c * h) * static_cast<double>(w * (k + 1)) > kMostNumbers)
      fail({"memory", "images: expected a shape that fits into memory, got " + shape_text({c, h, w, k})});
    if (!(near_plane > 0 && std::isfinite(near_plane)))
      refuse("near_plane: expected a finite number > 0, got " + std::to_string(near_plane));
    check_cameras(views.data(), intrinsics.data(), c);
    RasterInput<T> in;
    in.count = n, in.cameras = static_cast<int>(c);
    in.width = static_cast<int>(width), in.height = static_cast<int>(height);
    in.near_plane = near_plane;
    in.colors_per_camera = per_camera, in.channels = static_cast<int>(k);
    in.means = images->means.data(), in.covars = images->covars.data(), in.quats = images->quats.data();
    in.scales = images->scales.data(), in.opacities = images->opacities.data(), in.colors = images->colors.data();
    in.backgrounds = images->backgrounds.data(), in.viewmats = views.data(), in.intrinsics = intrinsics.data();
    Failure failure;
    RasterImages<T> out;
    images->raster = core<T>(*table).rasterize(in, out, failure);
    check(failure);
    return {hand_out(out.color, {c, h, w, k}),
            hand_out(out.alpha, {c, h, w}),
            hand_out(out.depth, {c, h, w}),
            hand_out(out.means2d, {c, n, 2}),
            hand_out(out.extents, {c, n, 2}),
            hand_out(out.depths, {c, n}),
            hand_out(out.status_counts, {c, kStatusCount}),
            hand_out(out.entry_counts, {c}),
            own(images, c, n)};
  });
}

// Gradients in the order of the bits of `wrt`; see RASTER_GRADIENTS in _kernels.py.
std::vector<Tensor> op_rasterize_vjp(Tensor images, Tensor means, Tensor colors, MaybeTensor adj_color,
                                     MaybeTensor adj_alpha, MaybeTensor adj_depth, std::int64_t wrt) {
  return dispatch(means, "means", [&]<class T>() -> std::vector<Tensor> {
    const auto drawn = owned<Images<T>>(images);
    const RasterInput<T>& in = drawn->raster->input();
    const char* const of = "means";
    const std::int64_t n = in.count, c = in.cameras, h = in.height, w = in.width, k = in.channels;
    const Shape of_colors = in.colors_per_camera ? Shape{c, n, k} : Shape{n, k};
    const Input<T> centres(means, of, {n, 3}), features(colors, "colors", of_colors, of);
    const Input<T> color(adj_color, "adj_color", {c, h, w, k}, of), alpha(adj_alpha, "adj_alpha", {c, h, w}, of);
    const Input<T> depth(adj_depth, "adj_depth", {c, h, w}, of);
    check_range(wrt, "wrt", 0, (std::int64_t{1} << kGradients) - 1);
    RasterGradients<T> g;
    std::vector<Tensor> out;
    int bit = 0;
    const auto give = [&](T*& target, const char* name, bool given, const Shape& shape) {
      if ((wrt >> bit++ & 1) == 0) return;
      if (!given) refuse("wrt: expected inputs that the images have, got " + std::string(name));
      out.push_back(empty(means, shape));
      target = data<T>(out.back());
    };
    give(g.means, "means", true, {n, 3}), give(g.covars, "covars", drawn->covars.given(), {n, 3, 3});
    give(g.quats, "quats", drawn->quats.given(), {n, 4}), give(g.scales, "scales", drawn->scales.given(), {n, 3});
    give(g.opacities, "opacities", true, {n}), give(g.colors, "colors", true, of_colors);
    give(g.backgrounds, "backgrounds", drawn->backgrounds.given(), {c, k});
    if (wrt >> bit++ & 1) {
      out.push_back(torch::stable::new_empty(means, Shape{c, 4, 4}, ScalarType::Double));
      g.viewmats = data<double>(out.back());
    }
    give(g.means2d, "means2d", true, {c, n, 2});
    Failure failure;
    core<T>(*table).rasterize_vjp(*drawn->raster, {color.data(), alpha.data(), depth.data()}, g, failure);
    check(failure);
    return out;
  });
}

// What both operators of the surface take.
template <class T>
struct Surface {
  Surface(const Tensor& x, const Tensor& F, const Tensor& sigma0, const Tensor& parents, const Tensor& offsets,
          const Tensor& supports, const Tensor& axes, const Tensor& normals)
      : x(x, "x", {kAny, 3}),
        F(F, "F", {x.size(0), 3, 3}),
        sigma0(sigma0, "sigma0", {}),
        parent(parents, "parents", {kAny, kAny}, nullptr),
        offset(offsets, "offsets", {samples(), parent.size(1), 3}),
        support(supports, "supports", {samples()}),
        axis(axes, "axes", {samples(), 3, 3}),
        normal(normals, "normals", {samples(), 3}) {
    check_range(parent.size(1), "parents of a sample", 1, surface::kMaxParents);
    check_range(samples(), "samples", 0, kMostSamples);
    view.samples = samples(), view.particles = x.size(0), view.parents = static_cast<int>(parent.size(1));
    view.parent = parent.data(), view.offset = offset.data(), view.support = support.data();
    view.axes = axis.data(), view.normal = normal.data();
  }
  std::int64_t samples() const { return parent.size(0); }

  static constexpr std::int64_t kMostSamples = 10'000'000;
  Input<T> x, F, sigma0;
  Input<std::int32_t> parent;
  Input<T> offset, support, axis, normal;
  surface::BindingView<T> view;
};

std::tuple<Tensor, Tensor, Tensor, Tensor> op_surface(Tensor x, Tensor F, Tensor sigma0, Tensor parents, Tensor offsets,
                                                      Tensor supports, Tensor axes, Tensor normals) {
  return dispatch(x, "x", [&]<class T>() -> std::tuple<Tensor, Tensor, Tensor, Tensor> {
    const Surface<T> in(x, F, sigma0, parents, offsets, supports, axes, normals);
    const std::int64_t m = in.samples(), k = in.view.parents;
    Tensor means = empty(x, {m, 3}), covars = empty(x, {m, 3, 3}), directions = empty(x, {m, 3}), w = empty(x, {m, k});
    Failure failure;
    core<T>(*table).surface(in.view, in.x.data(), in.F.data(), in.sigma0.data()[0],
                            {data<T>(means), data<T>(covars), data<T>(directions), data<T>(w)}, failure);
    check(failure);
    return {means, covars, directions, w};
  });
}

std::tuple<Tensor, Tensor, Tensor> op_surface_vjp(Tensor x, Tensor F, Tensor sigma0, Tensor parents, Tensor offsets,
                                                  Tensor supports, Tensor axes, Tensor normals, MaybeTensor adj_means,
                                                  MaybeTensor adj_covars, MaybeTensor adj_normals,
                                                  MaybeTensor adj_weights) {
  return dispatch(x, "x", [&]<class T>() -> std::tuple<Tensor, Tensor, Tensor> {
    const Surface<T> in(x, F, sigma0, parents, offsets, supports, axes, normals);
    const std::int64_t m = in.samples(), k = in.view.parents;
    const Input<T> means(adj_means, "adj_means", {m, 3}), covars(adj_covars, "adj_covars", {m, 3, 3});
    const Input<T> directions(adj_normals, "adj_normals", {m, 3}), weights(adj_weights, "adj_weights", {m, k});
    Tensor adj_x = empty(x, {x.size(0), 3}), adj_F = empty(x, {x.size(0), 3, 3}), adj_sigma0 = empty(x, {});
    Failure failure;
    *data<T>(adj_sigma0) = static_cast<T>(core<T>(*table).surface_vjp(
        in.view, in.x.data(), in.F.data(), in.sigma0.data()[0],
        {means.data(), covars.data(), directions.data(), weights.data()}, data<T>(adj_x), data<T>(adj_F), failure));
    check(failure);
    return {adj_x, adj_F, adj_sigma0};
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(diffmpm, CPU, m) {
  m.impl("rasterize", TORCH_BOX(&op_rasterize));
  m.impl("rasterize_vjp", TORCH_BOX(&op_rasterize_vjp));
  m.impl("surface", TORCH_BOX(&op_surface));
  m.impl("surface_vjp", TORCH_BOX(&op_surface_vjp));
}
