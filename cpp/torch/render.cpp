// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Operators of the rasterizer; see mpm.cpp.
#include <cmath>

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

// Colour, alpha, depth, means2d, radii, depths, counts by status, tile entries, and the owner.
using RasterResult = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

RasterResult op_rasterize(Tensor means, MaybeTensor covars, MaybeTensor quats, MaybeTensor scales, Tensor opacities,
                          Tensor colors, MaybeTensor backgrounds, Tensor viewmats, Tensor Ks, std::int64_t width,
                          std::int64_t height, double near_plane) {
  const std::int32_t device = device_of(means);
  const auto draw = [&]<class T>() -> RasterResult {
    const Input<T> centres(means, "means", {kAny, 3}, device);
    const std::int64_t n = means.size(0), h = height, w = width;
    const Input<double> views(viewmats, "viewmats", {kAny, 4, 4}, device);
    const std::int64_t c = viewmats.size(0);
    const bool per_camera = colors.defined() && colors.dim() == 3;
    const Shape of_colors = per_camera ? Shape{c, n, kAny} : Shape{n, kAny};
    auto images = std::make_shared<Images<T>>(Images<T>{centres,
                                                        {covars, "covars", {n, 3, 3}, device},
                                                        {quats, "quats", {n, 4}, device},
                                                        {scales, "scales", {n, 3}, device},
                                                        {opacities, "opacities", {n}, device},
                                                        {colors, "colors", of_colors, device},
                                                        {},
                                                        context_on(device),
                                                        nullptr});
    const std::int64_t k = colors.size(colors.dim() - 1);
    images->backgrounds = Input<T>(backgrounds, "backgrounds", {c, k}, device);
    const Input<double> intrinsics(Ks, "Ks", {c, 3, 3}, device);
    require(covars.has_value() != quats.has_value() && quats.has_value() == scales.has_value());
    require(k >= 1 && k <= kMostChannels && c >= 1 && c <= kMostCameras);
    require(width >= 1 && width <= kMostPixels && height >= 1 && height <= kMostPixels);
    if (static_cast<double>(c * h) * static_cast<double>(w * (k + 1)) > kMostNumbers)
      fail({"memory", "images: expected a shape that fits into memory, got " + shape_text({c, h, w, k})});
    require(near_plane > 0 && std::isfinite(near_plane));
    for (std::int64_t n = 0; device == kNoDevice && n < c; ++n)
      require(is_camera(views.data() + 16 * n, intrinsics.data() + 9 * n));
    RasterInput<T> in;
    in.count = n, in.cameras = static_cast<int>(c);
    in.width = static_cast<int>(width), in.height = static_cast<int>(height);
    in.near_plane = near_plane;
    in.colors_per_camera = per_camera, in.channels = static_cast<int>(k);
    in.means = images->means.data(), in.covars = images->covars.data(), in.quats = images->quats.data();
    in.scales = images->scales.data(), in.opacities = images->opacities.data(), in.colors = images->colors.data();
    in.backgrounds = images->backgrounds.data(), in.viewmats = views.data(), in.intrinsics = intrinsics.data();
    in.cameras_on_device = device != kNoDevice;
    DrawnImages<T> out;
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
  return dispatch(means, draw, device);
}

std::vector<Tensor> op_rasterize_vjp(Tensor images, Tensor means, Tensor colors, MaybeTensor adj_color,
                                     MaybeTensor adj_alpha, MaybeTensor adj_depth, std::int64_t wrt) {
  const std::int32_t device = device_of(means);
  const auto pull_back = [&]<class T>() -> std::vector<Tensor> {
    const auto drawn = owned<Images<T>>(images);
    const RasterInput<T>& in = drawn->raster->input();
    const std::int64_t n = in.count, c = in.cameras, h = in.height, w = in.width, k = in.channels;
    const Shape of_colors = in.colors_per_camera ? Shape{c, n, k} : Shape{n, k};
    if (device != drawn->context.device) refuse("means: expected a tensor on the device of the images, got another");
    const Input<T> centres(means, "means", {n, 3}, device), features(colors, "colors", of_colors, device);
    const Input<T> color(adj_color, "adj_color", {c, h, w, k}, device);
    const Input<T> alpha(adj_alpha, "adj_alpha", {c, h, w, 1}, device);
    const Input<T> depth(adj_depth, "adj_depth", {c, h, w, 1}, device);
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
  return dispatch(means, pull_back, device);
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
