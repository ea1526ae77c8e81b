// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Operators of the rasterizer; see mpm.cpp.
#include <cmath>
#include <sstream>

#include "diffmpm/render/camera.hpp"
#include "tensors.hpp"

namespace {

using namespace diffmpm;
using namespace diffmpm::torch_ops;

// A rasterization with the arrays that its adjoint reads again.
template <class T>
struct Images {
  Input<T> means, covars, quats, scales, opacities, colors, backgrounds;
  Context context;
  std::shared_ptr<Rasterization<T>> raster;
};

// Limits, as in python/diffmpm/torch/render.py.
constexpr std::int64_t kMostPixels = 1 << 15;  // of an edge
constexpr std::int64_t kMostChannels = 1 << 15;
constexpr std::int64_t kMostCameras = 1 << 20;
constexpr double kMostNumbers = 0x1p50;  // of the images
constexpr int kInputs = 9;               // of an image that have a gradient

std::string numbers_text(const double* values, int count) {
  std::ostringstream text;
  for (int k = 0; k < count; ++k) text << (k > 0 ? ", " : "(") << values[k];
  return text.str() + ")";
}

// The checks of python/diffmpm/render/camera.py, for matrices on the CPU.
void check_cameras(const double* viewmats, const double* Ks, std::int64_t count) {
  const auto is = [](double value, double expected) { return std::abs(value - expected) <= kCameraTolerance; };
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
  const std::int32_t device = device_of(means);
  const auto draw = [&]<class T>() -> RasterResult {
    const char* const of = "means";
    const Input<T> centres(means, of, {kAny, 3}, of, device);
    const std::int64_t n = means.size(0), h = height, w = width;
    const Input<double> views(viewmats, "viewmats", {kAny, 4, 4}, nullptr, device);
    const std::int64_t c = viewmats.size(0);
    const bool per_camera = colors.defined() && colors.dim() == 3;
    const Shape of_colors = per_camera ? Shape{c, n, kAny} : Shape{n, kAny};
    auto images = std::make_shared<Images<T>>(Images<T>{centres,
                                                        {covars, "covars", {n, 3, 3}, of, device},
                                                        {quats, "quats", {n, 4}, of, device},
                                                        {scales, "scales", {n, 3}, of, device},
                                                        {opacities, "opacities", {n}, of, device},
                                                        {colors, "colors", of_colors, of, device},
                                                        {},
                                                        context_on(device),
                                                        nullptr});
    const std::int64_t k = colors.size(colors.dim() - 1);
    images->backgrounds = Input<T>(backgrounds, "backgrounds", {c, k}, of, device);
    const Input<double> intrinsics(Ks, "Ks", {c, 3, 3}, nullptr, device);
    if (covars.has_value() == quats.has_value() || quats.has_value() != scales.has_value())
      refuse("covars: expected either covars or quats and scales, got another combination; pass one of them");
    check_range(k, "channels of colors", 1, kMostChannels), check_range(c, "cameras", 1, kMostCameras);
    check_range(width, "width", 1, kMostPixels), check_range(height, "height", 1, kMostPixels);
    if (static_cast<double>(c * h) * static_cast<double>(w * (k + 1)) > kMostNumbers)
      fail({"memory", "images: expected a shape that fits into memory, got " + shape_text({c, h, w, k})});
    if (!(near_plane > 0 && std::isfinite(near_plane)))
      refuse("near_plane: expected a finite number > 0, got " + std::to_string(near_plane));
    if (device == kNoDevice) check_cameras(views.data(), intrinsics.data(), c);
    RasterInput<T> in;
    in.count = n, in.cameras = static_cast<int>(c);
    in.width = static_cast<int>(width), in.height = static_cast<int>(height);
    in.near_plane = near_plane;
    in.colors_per_camera = per_camera, in.channels = static_cast<int>(k);
    in.means = images->means.data(), in.covars = images->covars.data(), in.quats = images->quats.data();
    in.scales = images->scales.data(), in.opacities = images->opacities.data(), in.colors = images->colors.data();
    in.backgrounds = images->backgrounds.data(), in.viewmats = views.data(), in.intrinsics = intrinsics.data();
    in.cameras_on_device = device != kNoDevice;
    RasterImages<T> out;
    images->raster = call(core<T>(*table).rasterize, images->context, in, out);
    const torch::stable::Device place = means.device();
    return {tensor_on(out.color, {c, h, w, k}, place),
            tensor_on(out.alpha, {c, h, w, 1}, place),
            tensor_on(out.depth, {c, h, w, 1}, place),
            tensor_on(out.means2d, {c, n, 2}, place),
            tensor_on(out.extents, {c, n, 2}, place),
            tensor_on(out.depths, {c, n}, place),
            tensor_on(out.status_counts, {c, kStatusCount}, place),
            tensor_on(out.entry_counts, {c}, place),
            own(images)};
  };
  return dispatch(means, "means", draw, device);
}

std::vector<Tensor> op_rasterize_vjp(Tensor images, Tensor means, Tensor colors, MaybeTensor adj_color,
                                     MaybeTensor adj_alpha, MaybeTensor adj_depth, std::int64_t wrt) {
  const std::int32_t device = device_of(means);
  const auto pull_back = [&]<class T>() -> std::vector<Tensor> {
    const auto drawn = owned<Images<T>>(images);
    const RasterInput<T>& in = drawn->raster->input();
    const char* const of = "means";
    const std::int64_t n = in.count, c = in.cameras, h = in.height, w = in.width, k = in.channels;
    const Shape of_colors = in.colors_per_camera ? Shape{c, n, k} : Shape{n, k};
    check_device(means, of, drawn->context.device);
    const Input<T> centres(means, of, {n, 3}, of, device), features(colors, "colors", of_colors, of, device);
    const Input<T> color(adj_color, "adj_color", {c, h, w, k}, of, device);
    const Input<T> alpha(adj_alpha, "adj_alpha", {c, h, w, 1}, of, device);
    const Input<T> depth(adj_depth, "adj_depth", {c, h, w, 1}, of, device);
    Gradients gradients(means, wrt, kInputs);
    RasterGradients<T> g;
    gradients.add(g.means, "means", {n, 3});
    gradients.add(g.covars, "covars", {n, 3, 3}, bool(drawn->covars));
    gradients.add(g.quats, "quats", {n, 4}, bool(drawn->quats));
    gradients.add(g.scales, "scales", {n, 3}, bool(drawn->scales));
    gradients.add(g.opacities, "opacities", {n}), gradients.add(g.colors, "colors", of_colors);
    gradients.add(g.backgrounds, "backgrounds", {c, k}, bool(drawn->backgrounds));
    gradients.add(g.viewmats, "viewmats", {c, 4, 4}), gradients.add(g.means2d, "means2d", {c, n, 2});
    call(core<T>(*table).rasterize_vjp, drawn->context, context_on(device), *drawn->raster,
         RasterAdjoint<T>{color.data(), alpha.data(), depth.data()}, g);
    return std::move(gradients.tensors);
  };
  return dispatch(means, "means", pull_back, device);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(diffmpm, CPU, m) {
  m.impl("rasterize", TORCH_BOX(&op_rasterize));
  m.impl("rasterize_vjp", TORCH_BOX(&op_rasterize_vjp));
}
STABLE_TORCH_LIBRARY_IMPL(diffmpm, CUDA, m) {
  m.impl("rasterize", TORCH_BOX(&op_rasterize));
  m.impl("rasterize_vjp", TORCH_BOX(&op_rasterize_vjp));
}
