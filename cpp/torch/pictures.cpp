// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// The operators of the surface and of pictures; see simulation.cpp.
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

// Colour, alpha, depth, means2d, radii, depths, counts by status, tile entries, and the owner.
using RasterResult = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

RasterResult op_rasterize(Tensor means, MaybeTensor covars, MaybeTensor quats, MaybeTensor scales, Tensor opacities,
                          Tensor colors, MaybeTensor backgrounds, Tensor viewmats, Tensor Ks, std::int64_t width,
                          std::int64_t height) {
  return dispatch(means, [&]<class T>() -> RasterResult {
    auto images = std::make_shared<Images<T>>(Images<T>{{means, "means"},
                                                        {covars, "covars"},
                                                        {quats, "quats"},
                                                        {scales, "scales"},
                                                        {opacities, "opacities"},
                                                        {colors, "colors"},
                                                        {backgrounds, "backgrounds"},
                                                        nullptr});
    const Input<double> views(viewmats, "viewmats"), intrinsics(Ks, "Ks");
    RasterInput<T> in;
    const std::int64_t n = means.size(0), c = viewmats.size(0), h = height, w = width;
    in.count = n, in.cameras = static_cast<int>(c);
    in.width = static_cast<int>(width), in.height = static_cast<int>(height);
    in.colors_per_camera = colors.dim() == 3, in.channels = static_cast<int>(colors.size(colors.dim() - 1));
    in.means = images->means.data(), in.covars = images->covars.data(), in.quats = images->quats.data();
    in.scales = images->scales.data(), in.opacities = images->opacities.data(), in.colors = images->colors.data();
    in.backgrounds = images->backgrounds.data(), in.viewmats = views.data(), in.intrinsics = intrinsics.data();
    Failure failure;
    RasterImages<T> out;
    images->raster = core<T>(*table).rasterize(in, out, failure);
    check(failure);
    return {hand_out(out.color, {c, h, w, in.channels}),
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

// Gradients in the order of the bits of `wrt`; see RASTER_GRADIENTS in _operators.py.
std::vector<Tensor> op_rasterize_vjp(Tensor images, Tensor means, Tensor colors, MaybeTensor adj_color,
                                     MaybeTensor adj_alpha, MaybeTensor adj_depth, std::int64_t wrt) {
  return dispatch(means, [&]<class T>() -> std::vector<Tensor> {
    const auto kept = owned<Images<T>>(images);
    const std::int64_t c = images.const_data_ptr<std::int64_t>()[0], n = images.const_data_ptr<std::int64_t>()[1];
    const Input<T> color(adj_color, "adj_color"), alpha(adj_alpha, "adj_alpha"), depth(adj_depth, "adj_depth");
    RasterGradients<T> g;
    std::vector<Tensor> out;
    int bit = 0;
    const auto give = [&](T*& target, const Shape& shape) {
      if ((wrt >> bit++ & 1) == 0) return;
      out.push_back(empty(means, shape));
      target = data<T>(out.back());
    };
    Shape of_colors(static_cast<std::size_t>(colors.dim()));
    for (std::size_t k = 0; k < of_colors.size(); ++k) of_colors[k] = colors.size(static_cast<std::int64_t>(k));
    give(g.means, {n, 3}), give(g.covars, {n, 3, 3}), give(g.quats, {n, 4}), give(g.scales, {n, 3});
    give(g.opacities, {n}), give(g.colors, of_colors), give(g.backgrounds, {c, of_colors.back()});
    if (wrt >> bit & 1) {
      out.push_back(torch::stable::new_empty(means, Shape{c, 4, 4}, ScalarType::Double));
      g.viewmats = data<double>(out.back());
    }
    Failure failure;
    core<T>(*table).rasterize_vjp(*kept->raster, {color.data(), alpha.data(), depth.data()}, g, failure);
    check(failure);
    return out;
  });
}

template <class T>
surface::BindingView<T> binding_view(const Tensor& x, const Tensor& parents, const Input<T>& offsets,
                                     const Input<T>& supports, const Input<T>& axes, const Input<T>& normals) {
  surface::BindingView<T> b;
  b.samples = parents.size(0), b.particles = x.size(0), b.parents = static_cast<int>(parents.size(1));
  b.parent = parents.const_data_ptr<std::int32_t>();
  b.offset = offsets.data(), b.support = supports.data(), b.axes = axes.data(), b.normal = normals.data();
  return b;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> op_surface(Tensor x, Tensor F, Tensor sigma0, Tensor parents, Tensor offsets,
                                                      Tensor supports, Tensor axes, Tensor normals) {
  return dispatch(x, [&]<class T>() -> std::tuple<Tensor, Tensor, Tensor, Tensor> {
    const Input<T> x_in(x, "x"), F_in(F, "F"), size(sigma0, "sigma0"), offset(offsets, "offsets");
    const Input<T> support(supports, "supports"), axis(axes, "axes"), normal(normals, "normals");
    const std::int64_t m = parents.size(0), k = parents.size(1);
    Tensor means = empty(x, {m, 3}), covs = empty(x, {m, 3, 3}), directions = empty(x, {m, 3}), w = empty(x, {m, k});
    core<T>(*table).surface(binding_view(x, parents, offset, support, axis, normal), x_in.data(), F_in.data(),
                            size.data()[0], {data<T>(means), data<T>(covs), data<T>(directions), data<T>(w)});
    return {means, covs, directions, w};
  });
}

std::tuple<Tensor, Tensor, Tensor> op_surface_vjp(Tensor x, Tensor F, Tensor sigma0, Tensor parents, Tensor offsets,
                                                  Tensor supports, Tensor axes, Tensor normals, MaybeTensor adj_means,
                                                  MaybeTensor adj_covs, MaybeTensor adj_normals,
                                                  MaybeTensor adj_weights) {
  return dispatch(x, [&]<class T>() -> std::tuple<Tensor, Tensor, Tensor> {
    const Input<T> x_in(x, "x"), F_in(F, "F"), size(sigma0, "sigma0"), offset(offsets, "offsets");
    const Input<T> support(supports, "supports"), axis(axes, "axes"), normal(normals, "normals");
    const Input<T> means(adj_means, "adj_means"), covs(adj_covs, "adj_covs"), directions(adj_normals, "adj_normals");
    const Input<T> weights(adj_weights, "adj_weights");
    Tensor adj_x = empty(x, {x.size(0), 3}), adj_F = empty(x, {x.size(0), 3, 3}), adj_sigma0 = empty(x, {});
    *data<T>(adj_sigma0) = static_cast<T>(core<T>(*table).surface_vjp(
        binding_view(x, parents, offset, support, axis, normal), x_in.data(), F_in.data(), size.data()[0],
        {means.data(), covs.data(), directions.data(), weights.data()}, data<T>(adj_x), data<T>(adj_F)));
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
