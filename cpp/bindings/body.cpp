// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Statistics of bodies, for frames, records and metrics.
#include "diffmpm/geometry/body.hpp"

#include <nanobind/stl/array.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "compute.hpp"
#include "diffmpm/core/host_queue.hpp"
#include "diffmpm/geometry/distance.hpp"
#include "diffmpm/geometry/point_tree.hpp"
#include "diffmpm/geometry/silhouette.hpp"

using namespace nb::literals;
using namespace diffmpm;

namespace {

using Points = nb::ndarray<const double, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;
using Axes = nb::ndarray<const double, nb::shape<-1, 2, 3>, nb::c_contig, nb::device::cpu>;
using Pictures = nb::ndarray<const std::uint8_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Triple = std::array<double, 3>;

template <class T>
double mean_square(const ArrayArg<T>& v) {
  return call_backend(v,
                      [&](const auto& core, const Context& c) { return core.body.mean_square(c, rows(v), v.data()); });
}

template <class T>
std::pair<double, double> determinant_range(const ArrayArg<T>& F) {
  const Range range = call_backend(
      F, [&](const auto& core, const Context& c) { return core.body.determinant_range(c, rows(F), F.data()); });
  return {range.low, range.high};
}

template <class T>
ArrayResult<T> multiply(const ArrayArg<T>& a, const ArrayArg<T>& b) {
  check_alike(a, b);
  return filled(a, a.shape(), [&](const auto& core, const Context& c, T* out) {
    core.body.multiply(c, {rows(a), a.data(), b.data(), out});
  });
}

template <class T>
Out<float> scale_and_shift(const In<T>& x, double scale, const Triple& center) {
  return compute<float>({x.shape(0), 3}, [&](float* out) {
    HostQueue({}).for_all(geometry::ScaleAndShiftItem<T>{3 * rows(x), x.data(), scale, center.data(), out});
  });
}

template <class T>
void bind_figures(nb::module_& m) {
  m.def("mean_square", &mean_square<T>, "v"_a, "Mean squared length of vectors, shape (N, 3).");
  m.def("determinant_range", &determinant_range<T>, "F"_a,
        "Smallest and largest determinant of matrices, shape (N, 3, 3); NaN if one is NaN.");
  m.def("multiply", &multiply<T>, "a"_a, "b"_a, "Matrix products, all of shape (N, 3, 3).");
  m.def("scale_and_shift", &scale_and_shift<T>, "x"_a.noconvert(), "scale"_a, "center"_a,
        "x / scale + center, shape (N, 3), float32, computed in float64.");
}

Out<double> nearest(const geometry::PointTree& tree, const Points& queries) {
  return compute<double>({queries.shape(0)}, [&](double* out) { tree.nearest(queries.data(), rows(queries), out); });
}

std::tuple<Out<double>, Out<std::int32_t>> nearest_points(const geometry::PointTree& tree, const Points& queries) {
  const diffmpm::Buffer<std::int32_t> index(queries.shape(0));
  auto distance = compute<double>({queries.shape(0)},
                                  [&](double* out) { tree.nearest(queries.data(), rows(queries), out, index.data()); });
  return {std::move(distance), to_ndarray(index, {queries.shape(0)})};
}

Out<double> neighbour_distance(const geometry::PointTree& tree, int rank) {
  if (rank < 1 || rank >= geometry::kMostNeighbours || rank >= tree.count())
    throw std::invalid_argument("rank: expected an existing neighbour, from 1 to 23, got another number");
  return compute<double>({static_cast<std::size_t>(tree.count())},
                         [&](double* out) { tree.neighbour_distance(rank, out); });
}

std::vector<geometry::Point> points_of(const Points& array) {
  std::vector<geometry::Point> points;
  for (std::size_t n = 0; n < array.shape(0); ++n) points.push_back({array(n, 0), array(n, 1), array(n, 2)});
  return points;
}

Out<std::uint8_t> outer_points(const geometry::PointTree& tree, const Points& steps, double radius) {
  const std::vector<geometry::Point> directions = points_of(steps);
  return compute<std::uint8_t>({static_cast<std::size_t>(tree.count())}, [&](std::uint8_t* out) {
    tree.outer(directions.data(), static_cast<std::int64_t>(directions.size()), radius, out);
  });
}

Out<std::uint8_t> silhouettes(const Points& points, const Triple& center, double extent, const Axes& axes,
                              std::size_t size) {
  if (size > 1u << 14 || !(extent > 0))
    throw std::invalid_argument("size, extent: expected at most 16384 pixels and an extent above 0, got others");
  const std::size_t views = axes.shape(0);
  std::vector<geometry::PictureAxes> pairs;
  for (std::size_t v = 0; v < views; ++v)
    pairs.push_back({{axes(v, 0, 0), axes(v, 0, 1), axes(v, 0, 2)}, {axes(v, 1, 0), axes(v, 1, 1), axes(v, 1, 2)}});
  return compute<std::uint8_t>({views, size, size}, [&](std::uint8_t* out) {
    geometry::silhouettes(points.data(), rows(points), {center[0], center[1], center[2]}, extent, pairs.data(),
                          rows(axes), static_cast<std::int64_t>(size), out);
  });
}

Out<std::int64_t> filled_pixels(const Pictures& pictures) {
  return compute<std::int64_t>({pictures.shape(0)}, [&](std::int64_t* out) {
    geometry::filled_pixels(pictures.data(), rows(pictures), static_cast<std::int64_t>(pictures.shape(1)),
                            static_cast<std::int64_t>(pictures.shape(2)), out);
  });
}

Out<double> distance_to_marked(const Pictures& marked) {
  const std::int64_t dims[3] = {rows(marked), static_cast<std::int64_t>(marked.shape(1)),
                                static_cast<std::int64_t>(marked.shape(2))};
  return compute<double>({marked.shape(0), marked.shape(1), marked.shape(2)},
                         [&](double* out) { geometry::distance_to_marked(marked.data(), dims, out); });
}

}  // namespace

void bind_body(nb::module_& m) {
  bind_figures<float>(m);
  bind_figures<double>(m);
  nb::class_<geometry::PointTree>(m, "PointTree", "Search tree of points; private.")
      .def(
          "__init__",
          [](geometry::PointTree* self, const Points& points) {
            const NativeCall call;
            new (self) geometry::PointTree(points.data(), static_cast<std::int64_t>(points.shape(0)));
          },
          "points"_a.noconvert())
      .def_prop_ro("count", &geometry::PointTree::count, "Number of points.")
      .def("nearest", &nearest, "queries"_a.noconvert(), "Distance from each query to the nearest point, shape (Q,).")
      .def("nearest_points", &nearest_points, "queries"_a.noconvert(), "The same, and the index of that point, int32.")
      .def("neighbour_distance", &neighbour_distance, "rank"_a,
           "Distance from each point to its neighbour of this rank, from 1, shape (N,).")
      .def("outer", &outer_points, "steps"_a.noconvert(), "radius"_a,
           "1 where a ball around point + step is empty for one of the steps, shape (N,), uint8.");
  m.def(
      "silhouettes", &silhouettes, "points"_a.noconvert(), "center"_a, "extent"_a, "axes"_a.noconvert(), "size"_a,
      "Silhouettes, 3 x 3 pixels per point, shape (V, size, size), uint8; axes to the right and up, shape (V, 2, 3).");
  m.def("distance_to_marked", &distance_to_marked, "marked"_a.noconvert(),
        "Distance from each grid node to the nearest nonzero one, in cells, float64.");
  m.def("filled_pixels", &filled_pixels, "pictures"_a.noconvert(),
        "Number of pixels of each picture that are set or in a hole, shape (P,), int64.");
}
