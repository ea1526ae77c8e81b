// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "compute.hpp"
#include "diffmpm/backend.hpp"
#include "diffmpm/geometry/point_tree.hpp"
#include "diffmpm/surface/carry.hpp"
#include "diffmpm/surface/fit.hpp"
#include "diffmpm/surface/interpolate.hpp"
#include "diffmpm/surface/scene.hpp"
#include "native_call.hpp"

using namespace nb::literals;

namespace {

namespace cuda = diffmpm::cuda;
namespace surface = diffmpm::surface;
using diffmpm::backend;
using diffmpm::Buffer;
using diffmpm::Context;

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

using Points = nb::ndarray<const double, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;
using Directions = nb::ndarray<const float, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;

void require_rows(std::size_t n, const diffmpm::geometry::PointTree& tree) {
  if (static_cast<std::int64_t>(n) != tree.count() || n == 0)
    throw std::invalid_argument("tree: expected that of the points, at least one, got another");
}

std::tuple<Out<double>, Out<double>> displacements(const diffmpm::geometry::PointTree& particles, const Points& before,
                                                   const Points& after, const Points& points) {
  require_rows(before.shape(0), particles), require_rows(after.shape(0), particles);
  const std::size_t n = points.shape(0);
  const Buffer<double> gradients(9 * n);
  auto moved = compute<double>({n, 3}, [&](double* out) {
    surface::displacements(particles, before.data(), after.data(), points.data(), rows(points), out, gradients.data());
  });
  return {std::move(moved), to_ndarray(gradients, {n, 3, 3})};
}

std::tuple<Out<double>, Out<double>> surface_distances(const diffmpm::geometry::PointTree& tree, const Points& vertices,
                                                       const Directions& normals, const Points& points) {
  require_rows(vertices.shape(0), tree), require_rows(normals.shape(0), tree);
  const std::size_t n = points.shape(0);
  const Buffer<double> directions(3 * n);
  auto distance = compute<double>({n}, [&](double* out) {
    surface::distances(tree, vertices.data(), normals.data(), points.data(), rows(points), out, directions.data());
  });
  return {std::move(distance), to_ndarray(directions, {n, 3})};
}

// A factorisation whose arrays are checked once.
class Solver {
 public:
  using Numbers = nb::ndarray<const double, nb::shape<-1>, nb::c_contig, nb::device::cpu>;
  using Indices = nb::ndarray<const std::int32_t, nb::shape<-1>, nb::c_contig, nb::device::cpu>;

  Solver(const Indices& start, const Indices& row, const Numbers& value, const Numbers& diagonal, const Indices& order)
      : matrix_{copy(start), copy(row), copy(value), copy(diagonal), copy(order)} {
    const auto n = static_cast<std::int32_t>(diagonal.shape(0));
    bool valid = rows(start) == n + 1 && rows(order) == n && row.shape(0) == value.shape(0);
    valid = valid && matrix_.start.front() == 0 && matrix_.start.back() == rows(row);
    valid = valid && std::ranges::is_sorted(matrix_.start);
    for (std::int32_t j = 0; valid && j < n; ++j) {
      valid = matrix_.order[j] >= 0 && matrix_.order[j] < n;
      for (std::int32_t e = matrix_.start[j]; valid && e < matrix_.start[j + 1]; ++e)
        valid = matrix_.row[e] > j && matrix_.row[e] < n;
    }
    if (!valid) throw std::invalid_argument("row: expected the entries below the diagonal of a matrix, got others");
  }

  Out<double> solve(const In<double>& b) const {
    if (b.ndim() != 2 || rows(b) != matrix_.size())
      throw std::invalid_argument("b: expected as many rows as the matrix has, got another number");
    return compute<double>({b.shape(0), b.shape(1)},
                           [&](double* x) { surface::solve(matrix_, b.data(), static_cast<int>(b.shape(1)), x); });
  }

 private:
  template <class T>
  static std::vector<T> copy(const nb::ndarray<const T, nb::shape<-1>, nb::c_contig, nb::device::cpu>& array) {
    return {array.data(), array.data() + array.size()};
  }

  surface::Factorisation matrix_;
};

using Squares = nb::ndarray<const double, nb::shape<-1, 3, 3>, nb::c_contig, nb::device::cpu>;
template <class T>
using Coefficients = nb::ndarray<const T, nb::shape<-1, -1, 3>, nb::c_contig, nb::device::cpu>;

// Degree of the harmonics of which there are `count`.
int degree_of(std::size_t count) {
  for (int degree = 0; degree < 4; ++degree)
    if (count == static_cast<std::size_t>((degree + 1) * (degree + 1))) return degree;
  throw std::invalid_argument("rest: expected harmonics of degree 0 to 3, got another number of them");
}

Out<double> limit_stretches(const Squares& F, double limit) {
  if (!(limit >= 1)) throw std::invalid_argument("limit: expected at least 1, got less");
  return compute<double>({F.shape(0), 3, 3},
                         [&](double* out) { surface::limit_stretches(F.data(), rows(F), limit, out); });
}

std::tuple<Out<float>, Out<float>, std::optional<Out<float>>> carry_gaussians(
    const nb::ndarray<const std::int32_t, nb::shape<-1, -1>, nb::c_contig, nb::device::cpu>& parents,
    const nb::ndarray<const double, nb::shape<-1, -1>, nb::c_contig, nb::device::cpu>& weights, const Squares& axes,
    const Squares& F, const std::optional<Coefficients<float>>& rest, double thinnest) {
  const std::size_t m = parents.shape(0), k = parents.shape(1), bands = rest ? rest->shape(1) : 0;
  if (weights.shape(0) != m || weights.shape(1) != k || axes.shape(0) != m || (rest && rest->shape(0) != m))
    throw std::invalid_argument("weights, axes, rest: expected one row per Gaussian, got others");
  degree_of(1 + bands);
  const Buffer<float> scales(3 * m), quats(4 * m), turned(3 * m * bands);
  without_gil([&] {
    const Buffer<std::int32_t> checked =
        surface::checked_parents(rows(parents), static_cast<int>(k), rows(F), parents.data());
    surface::carry_gaussians({rows(parents), static_cast<int>(k), checked.data(), weights.data(), axes.data(),
                              static_cast<int>(bands), rest ? rest->data() : nullptr},
                             F.data(), thinnest, {scales.data(), quats.data(), turned.data()});
    return 0;
  });
  std::optional<Out<float>> coefficients;
  if (rest) coefficients = to_ndarray(turned, {m, bands, 3});
  return {to_ndarray(scales, {m, 3}), to_ndarray(quats, {m, 4}), std::move(coefficients)};
}

template <class T>
Out<T> rotate_harmonics(const Coefficients<T>& rest, const Squares& R) {
  degree_of(1 + rest.shape(1));
  if (R.shape(0) != 1 && R.shape(0) != rest.shape(0))
    throw std::invalid_argument("R: expected one rotation, or one per row, got another number");
  return compute<T>({rest.shape(0), rest.shape(1), 3}, [&](T* out) {
    surface::rotate_harmonics(rest.data(), rows(rest), static_cast<int>(rest.shape(1)), R.data(), R.shape(0) != 1, out);
  });
}

template <class T>
Out<T> evaluate_harmonics(const Coefficients<T>& coefficients,
                          const nb::ndarray<const T, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>& directions) {
  const int degree = degree_of(coefficients.shape(1));
  if (directions.shape(0) != coefficients.shape(0))
    throw std::invalid_argument("directions: expected one per row of the coefficients, got another number");
  return compute<T>({coefficients.shape(0), 3}, [&](T* out) {
    surface::evaluate_harmonics(coefficients.data(), rows(coefficients), degree, directions.data(), out);
  });
}

template <class T>
void bind_harmonics(nb::module_& m) {
  m.def("rotate_harmonics", &rotate_harmonics<T>, "rest"_a.noconvert(), "R"_a.noconvert(),
        "Coefficients of rotated functions on the sphere, shape (M, (d + 1)^2 - 1, 3); one rotation, or one per row.");
  m.def("evaluate_harmonics", &evaluate_harmonics<T>, "coefficients"_a.noconvert(), "directions"_a.noconvert(),
        "Sums of coefficients (M, (d + 1)^2, 3) times the harmonics in unit directions, shape (M, 3).");
}

// A binding in host memory, which the caller owns, or in that of a device: then on the stream that was current when it was made, with
// the children of particles computed once, for the first adjoint.
template <class T>
class BoundSurface {
 public:
  // From arrays on the device, or from host arrays, which are checked and uploaded to it.
  BoundSurface(const ArrayArg<std::int32_t>& parents, const ArrayArg<T>& offsets, const ArrayArg<T>& supports,
               const ArrayArg<T>& axes, const ArrayArg<T>& normals, std::int64_t particles, int device)
      : context_{device, current_stream(device)}, parents_(parents), arrays_{offsets, supports, axes, normals} {
    const std::size_t samples = parents.axes() == 2 ? parents.shape(0) : 0;
    if (parents.axes() != 2 || offsets.size() != 3 * parents.size() || supports.size() != samples ||
        axes.size() != 9 * samples || normals.size() != 3 * samples)
      throw std::invalid_argument("parents: expected as many rows as the other arrays of the binding have, got others");
    view_.samples = rows(parents), view_.parents = static_cast<int>(parents.shape(1)), view_.particles = particles;
    const DeviceScope scope(device);
    const std::int32_t* parent = parents.data();
    Buffer<std::int32_t> checked;
    if (device != parents.device()) {
      checked = surface::checked_parents(view_.samples, view_.parents, particles, parent);
      parent = upload(checked.data(), checked.size());
    }
    view_.parent = parent, view_.offset = in_place(offsets), view_.support = in_place(supports);
    view_.axes = in_place(axes), view_.normal = in_place(normals);
  }

  std::tuple<ArrayResult<T>, ArrayResult<T>, ArrayResult<T>, ArrayResult<T>> evaluate(const ArrayArg<T>& x,
                                                                                      const ArrayArg<T>& F,
                                                                                      double sigma0) const {
    const auto m = static_cast<std::size_t>(view_.samples), k = static_cast<std::size_t>(view_.parents);
    const OutputArray<T> means = make({m, 3}), covars = make({m, 3, 3}), normals = make({m, 3}), weights = make({m, k});
    check_particles(x, F);
    {
      const StreamGuard guard(context_);
      const NativeCall call;
      backend<T>(context_).surface.evaluate(context_, view_, x.data(), F.data(), static_cast<T>(sigma0),
                                            {means.data(), covars.data(), normals.data(), weights.data()});
    }
    return {means.result(), covars.result(), normals.result(), weights.result()};
  }

  std::tuple<ArrayResult<T>, ArrayResult<T>, Number> vjp(const ArrayArg<T>& x, const ArrayArg<T>& F, double sigma0,
                                                         const std::optional<ArrayArg<T>>& adj_means,
                                                         const std::optional<ArrayArg<T>>& adj_covars,
                                                         const std::optional<ArrayArg<T>>& adj_normals,
                                                         const std::optional<ArrayArg<T>>& adj_weights) {
    const OutputArray<T> adj_x = make({x.shape(0), 3}), adj_F = make({x.shape(0), 3, 3});
    check_particles(x, F);
    const StreamGuard guard(context_);
    if (context_.on_device()) find_children();
    Number adj_sigma0 = number(context_, false, [&](double* total) {
      backend<T>(context_).surface.evaluate_vjp(
          context_, view_, x.data(), F.data(), static_cast<T>(sigma0),
          {pointer(adj_means), pointer(adj_covars), pointer(adj_normals), pointer(adj_weights)}, adj_x.data(),
          adj_F.data(), total);
    });
    return {adj_x.result(), adj_F.result(), std::move(adj_sigma0)};
  }

 private:
  void check_particles(const ArrayArg<T>& x, const ArrayArg<T>& F) const {
    if (rows(x) != view_.particles || F.size() != 3 * x.size() || x.device() != context_.device ||
        F.device() != context_.device)
      throw std::invalid_argument("x: expected the particles of the binding, on its device, got others");
  }
  void find_children() {
    if (view_.child) return;
    const std::int64_t slots = view_.samples * view_.parents;
    auto* start = allocate<std::int32_t>(static_cast<std::size_t>(view_.particles) + 1);
    auto* child = allocate<std::int32_t>(static_cast<std::size_t>(slots));
    backend<T>(context_).surface.find_children(context_, view_.particles, slots, view_.parent, start, child);
    view_.child_start = start, view_.child = child;
  }
  OutputArray<T> make(std::vector<std::size_t> shape) const { return {context_.device, std::move(shape)}; }
  template <class V>
  V* allocate(std::size_t count) {
    return static_cast<V*>(memory_.emplace_back(cuda::devices().allocate(count * sizeof(V), context_.stream)).get());
  }
  template <class V>
  const V* upload(const V* from, std::size_t count) {
    V* to = allocate<V>(count);
    cuda::devices().upload(to, from, count * sizeof(V), context_.stream);
    return to;
  }
  const T* in_place(const ArrayArg<T>& array) {
    return array.device() == context_.device ? array.data() : upload(array.data(), array.size());
  }

  Context context_;
  ArrayArg<std::int32_t> parents_;
  std::array<ArrayArg<T>, 4> arrays_;
  std::vector<std::shared_ptr<void>> memory_;
  surface::BindingView<T> view_;
};

template <class T>
void bind_evaluation(nb::module_& m, const char* name) {
  using B = BoundSurface<T>;
  using A = ArrayArg<T>;
  nb::class_<B>(m, name, "Binding of a surface; private, see diffmpm.surface.Binding.")
      .def(nb::init<const ArrayArg<std::int32_t>&, const A&, const A&, const A&, const A&, std::int64_t, int>(),
           "parents"_a, "offsets"_a, "supports"_a, "axes"_a, "normals"_a, "particles"_a, "device"_a)
      .def("evaluate", &B::evaluate, "x"_a, "F"_a, "sigma0"_a)
      .def("vjp", &B::vjp, "x"_a, "F"_a, "sigma0"_a, "adj_means"_a.none(), "adj_covars"_a.none(),
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
  m.def("displacements", &displacements, "particles"_a, "before"_a.noconvert(), "after"_a.noconvert(),
        "points"_a.noconvert(), "Displacements of points, shape (N, 3), and their gradients, shape (N, 3, 3).");
  m.def("surface_distances", &surface_distances, "tree"_a, "vertices"_a.noconvert(), "normals"_a.noconvert(),
        "points"_a.noconvert(), "Signed distances of points, shape (N,), and normals of the surface, shape (N, 3).");
  nb::class_<Solver>(m, "Solver", "Factorisation P^T L D L^T P of a sparse matrix; private.")
      .def(nb::init<const Solver::Indices&, const Solver::Indices&, const Solver::Numbers&, const Solver::Numbers&,
                    const Solver::Indices&>(),
           "start"_a.noconvert(), "row"_a.noconvert(), "value"_a.noconvert(), "diagonal"_a.noconvert(),
           "order"_a.noconvert())
      .def("solve", &Solver::solve, "b"_a.noconvert(), "Solution of shape (N, K) for b of shape (N, K).");
  m.def("limit_stretches", &limit_stretches, "F"_a.noconvert(), "limit"_a,
        "Matrices with singular values in [1 / limit, limit], shape (N, 3, 3).");
  m.def("carry_gaussians", &carry_gaussians, "parents"_a.noconvert(), "weights"_a.noconvert(), "axes"_a.noconvert(),
        "F"_a.noconvert(), "rest"_a.noconvert().none(), "thinnest"_a,
        "Scales, quaternions and harmonics of Gaussians that move with the F of their parents.");
  bind_harmonics<float>(m);
  bind_harmonics<double>(m);
  m.attr("MAX_PARENTS") = surface::kMaxParents;
  bind_evaluation<float>(m, "BoundSurface32");
  bind_evaluation<double>(m, "BoundSurface64");
}
