// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Operators of the surface; see mpm.cpp.
#include "diffmpm/surface/interpolate.hpp"
#include "tensors.hpp"

namespace {

using namespace diffmpm;
using namespace diffmpm::torch_ops;

// Arguments of both operators.
template <class T>
struct Surface {
  Surface(const Tensor& x, const Tensor& F, const Tensor& sigma0, const Tensor& parents, const Tensor& offsets,
          const Tensor& supports, const Tensor& axes, const Tensor& normals)
      : x(x, "x", {kAny, 3}),
        F(F, "F", {x.size(0), 3, 3}),
        sigma0(sigma0, "sigma0", {}),
        parent(parents, "parents", {kAny, kAny}),
        offset(offsets, "offsets", {samples(), parent.size(1), 3}),
        support(supports, "supports", {samples()}),
        axis(axes, "axes", {samples(), 3, 3}),
        normal(normals, "normals", {samples(), 3}) {
    require(parent.size(1) >= 1 && parent.size(1) <= surface::kMaxParents && samples() <= kMostSamples);
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
  return dispatch(x, [&]<class T>() -> std::tuple<Tensor, Tensor, Tensor, Tensor> {
    const Surface<T> in(x, F, sigma0, parents, offsets, supports, axes, normals);
    const std::int64_t m = in.samples(), k = in.view.parents;
    Tensor means = empty<T>(x, {m, 3}), covars = empty<T>(x, {m, 3, 3}), directions = empty<T>(x, {m, 3}),
           w = empty<T>(x, {m, k});
    call(core<T>(*table).surface, in.view, in.x.data(), in.F.data(), in.sigma0.data()[0],
         surface::GaussianArrays<T>{data<T>(means), data<T>(covars), data<T>(directions), data<T>(w)});
    return {means, covars, directions, w};
  });
}

std::tuple<Tensor, Tensor, Tensor> op_surface_vjp(Tensor x, Tensor F, Tensor sigma0, Tensor parents, Tensor offsets,
                                                  Tensor supports, Tensor axes, Tensor normals, MaybeTensor adj_means,
                                                  MaybeTensor adj_covars, MaybeTensor adj_normals,
                                                  MaybeTensor adj_weights) {
  return dispatch(x, [&]<class T>() -> std::tuple<Tensor, Tensor, Tensor> {
    const Surface<T> in(x, F, sigma0, parents, offsets, supports, axes, normals);
    const std::int64_t m = in.samples(), k = in.view.parents;
    const Input<T> means(adj_means, "adj_means", {m, 3}), covars(adj_covars, "adj_covars", {m, 3, 3});
    const Input<T> directions(adj_normals, "adj_normals", {m, 3}), weights(adj_weights, "adj_weights", {m, k});
    Tensor adj_x = empty<T>(x, {x.size(0), 3}), adj_F = empty<T>(x, {x.size(0), 3, 3}), adj_sigma0 = empty<T>(x, {});
    double sum = 0;
    call(core<T>(*table).surface_vjp, in.view, in.x.data(), in.F.data(), in.sigma0.data()[0],
         surface::GaussianArrays<const T>{means.data(), covars.data(), directions.data(), weights.data()},
         data<T>(adj_x), data<T>(adj_F), &sum);
    *data<T>(adj_sigma0) = static_cast<T>(sum);
    return {adj_x, adj_F, adj_sigma0};
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(diffmpm, CPU, m) {
  m.impl("surface", TORCH_BOX(&op_surface));
  m.impl("surface_vjp", TORCH_BOX(&op_surface_vjp));
}
