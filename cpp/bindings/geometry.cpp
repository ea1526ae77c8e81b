// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "compute.hpp"
#include "diffmpm/geometry/closest.hpp"
#include "diffmpm/geometry/crossing.hpp"
#include "diffmpm/geometry/density.hpp"
#include "diffmpm/geometry/distance.hpp"
#include "diffmpm/geometry/evening.hpp"
#include "diffmpm/geometry/inside.hpp"
#include "diffmpm/geometry/median_tree.hpp"
#include "diffmpm/geometry/sampling.hpp"
#include "diffmpm/geometry/topology.hpp"

using namespace nb::literals;

namespace {

namespace geometry = diffmpm::geometry;

using Vertices = nb::ndarray<const double, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;
using Matrices = nb::ndarray<const double, nb::shape<-1, 3, 3>, nb::c_contig, nb::device::cpu>;
using Numbers = nb::ndarray<const double, nb::shape<-1>, nb::c_contig, nb::device::cpu>;
using Triangles = nb::ndarray<const std::int32_t, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;

constexpr std::int64_t kMostCells = std::int64_t{1} << 31;

// A mesh with a checked copy of the indices, which no other thread can change.
class CheckedMesh {
 public:
  CheckedMesh(const Vertices& vertices, const Triangles& triangles)
      : indices_(triangles.data(), triangles.data() + triangles.size()),
        view_{nullptr, indices_.data(), rows(vertices), rows(triangles)} {
    for (const std::int32_t index : indices_)
      if (index < 0 || index >= view_.vertex_count)
        throw std::invalid_argument("triangles: expected indices below the number of vertices, got another one");
    view_ = at(vertices);
  }
  operator const geometry::MeshView&() const { return view_; }
  std::size_t triangle_count() const { return indices_.size() / 3; }

  // The same triangles with other vertices.
  geometry::MeshView at(const Vertices& vertices) const {
    if (rows(vertices) != view_.vertex_count)
      throw std::invalid_argument("vertices: expected as many as the mesh has, got another number");
    for (std::int64_t i = 0; i < 3 * view_.vertex_count; ++i)
      if (!std::isfinite(vertices.data()[i]))
        throw std::invalid_argument("vertices: expected finite numbers, got another");
    geometry::MeshView moved = view_;
    moved.vertices = vertices.data();
    return moved;
  }

 private:
  std::vector<std::int32_t> indices_;
  geometry::MeshView view_;
};

Out<double> winding_number(const Vertices& vertices, const Triangles& triangles, const Vertices& points, bool exact) {
  const CheckedMesh mesh(vertices, triangles);
  return compute<double>({points.shape(0)},
                         [&](double* out) { geometry::winding_number(mesh, points.data(), rows(points), exact, out); });
}

Out<std::uint8_t> points_inside(const Vertices& vertices, const Triangles& triangles, const Vertices& points) {
  const CheckedMesh mesh(vertices, triangles);
  return compute<std::uint8_t>(
      {points.shape(0)}, [&](std::uint8_t* out) { geometry::points_inside(mesh, points.data(), rows(points), out); });
}

std::tuple<Out<const std::int32_t>, std::int64_t, std::int64_t> mesh_topology(const Vertices& vertices,
                                                                              const Triangles& triangles) {
  const CheckedMesh mesh(vertices, triangles);
  geometry::Topology result = without_gil([&] { return geometry::topology(mesh); });
  return {to_ndarray<const std::int32_t>(std::move(result.boundary), {result.boundary.size() / 2, 2}), result.open,
          result.non_manifold};
}

std::tuple<Out<const std::int32_t>, Out<std::uint8_t>, Out<std::uint8_t>> mesh_parts(const Vertices& vertices,
                                                                                     const Triangles& triangles) {
  const CheckedMesh mesh(vertices, triangles);
  geometry::Parts result = without_gil([&] { return geometry::parts(mesh); });
  return {to_ndarray<const std::int32_t>(std::move(result.part), {result.part.size()}),
          to_ndarray<std::uint8_t>(std::move(result.turned), {result.turned.size()}),
          to_ndarray<std::uint8_t>(std::move(result.border), {result.border.size()})};
}

std::tuple<Out<double>, std::int64_t> sample_cells(const Vertices& vertices, const Triangles& triangles,
                                                   const std::array<double, 3>& origin, double spacing,
                                                   const std::array<std::int64_t, 3>& dims, double jitter,
                                                   std::uint64_t seed) {
  const CheckedMesh mesh(vertices, triangles);
  geometry::CellGrid grid;
  grid.origin = {origin[0], origin[1], origin[2]}, grid.spacing = spacing;
  std::ranges::copy(dims, grid.dims);
  grid.jitter = jitter, grid.seed = seed;
  if (!std::isfinite(grid.origin.x + grid.origin.y + grid.origin.z) || !std::isfinite(spacing) || spacing <= 0)
    throw std::invalid_argument("origin, spacing: expected finite numbers, the spacing above 0, got others");
  for (const std::int64_t n : grid.dims)
    if (n < 0 || n > kMostCells) throw std::invalid_argument("dims: expected at most 2^31 cells per axis, got more");
  geometry::InsidePoints result = without_gil([&] { return geometry::sample_cells(mesh, grid); });
  return {to_ndarray<double>(std::move(result.points), {result.points.size() / 3, 3}), result.inverted};
}

Out<std::uint8_t> thin_evenly(const Vertices& points, std::int64_t keep, std::uint64_t seed) {
  return compute<std::uint8_t>({points.shape(0)}, [&](std::uint8_t* flags) {
    geometry::thin_evenly(points.data(), rows(points), keep, seed, flags);
  });
}

Out<double> even_out(const Vertices& vertices, const Triangles& triangles, const Vertices& points, double spacing) {
  const CheckedMesh mesh(vertices, triangles);
  if (!std::isfinite(spacing) || spacing <= 0)
    throw std::invalid_argument("spacing: expected a finite number above 0, got another");
  return compute<double>({points.shape(0), 3}, [&](double* out) {
    std::copy_n(points.data(), points.size(), out);
    geometry::even_out(mesh, spacing, out, rows(points));
  });
}

std::vector<std::size_t> node_shape(const std::array<std::int64_t, 3>& dims) {
  std::vector<std::size_t> shape;
  for (const std::int64_t n : dims) {
    if (n < 1 || n > kMostCells) throw std::invalid_argument("dims: expected 1 to 2^31 nodes per axis, got others");
    shape.push_back(static_cast<std::size_t>(n));
  }
  return shape;
}

Out<double> distance_to_triangles(const Vertices& vertices, const Triangles& triangles,
                                  const std::array<double, 3>& origin, double spacing,
                                  const std::array<std::int64_t, 3>& dims, double limit) {
  const CheckedMesh mesh(vertices, triangles);
  return compute<double>(node_shape(dims), [&](double* out) {
    geometry::distance_to_triangles(mesh, origin.data(), spacing, dims.data(), limit, out);
  });
}

std::tuple<Out<const std::int32_t>, Out<double>> closest_on_mesh(const Vertices& vertices, const Triangles& triangles,
                                                                 const Vertices& points) {
  const CheckedMesh mesh(vertices, triangles);
  if (triangles.shape(0) == 0) throw std::invalid_argument("triangles: expected at least one, got none");
  std::vector<std::int32_t> triangle(points.shape(0));
  auto weights = compute<double>({points.shape(0), 3}, [&](double* out) {
    geometry::closest_on_mesh(mesh, points.data(), rows(points), triangle.data(), out);
  });
  return {to_ndarray<const std::int32_t>(std::move(triangle), {points.shape(0)}), std::move(weights)};
}

// The triangles of a mesh in several shapes, with one search tree.
class CrossingSearch {
 public:
  CrossingSearch(const Vertices& vertices, const Triangles& triangles)
      : mesh_(vertices, triangles), tree_(without_gil([&] { return geometry::TriangleTree(mesh_); })) {}

  Out<std::uint8_t> flags(const Vertices& vertices) {
    return compute<std::uint8_t>({mesh_.triangle_count()}, [&](std::uint8_t* out) {
      const geometry::MeshView mesh = mesh_.at(vertices);
      const std::lock_guard lock(mutex_);
      tree_.fit(mesh);
      geometry::crossing_triangles(mesh, tree_, out);
    });
  }

 private:
  CheckedMesh mesh_;
  geometry::TriangleTree tree_;
  std::mutex mutex_;
};

Out<double> opacity_density(const Vertices& means, const Matrices& covars, const Numbers& opacities,
                            const std::array<double, 3>& origin, double spacing,
                            const std::array<std::int64_t, 3>& dims) {
  if (covars.shape(0) != means.shape(0) || opacities.shape(0) != means.shape(0))
    throw std::invalid_argument("means, covars, opacities: expected one entry per Gaussian, got others");
  return compute<double>(node_shape(dims), [&](double* out) {
    geometry::opacity_density({means.data(), covars.data(), opacities.data(), rows(means)}, origin.data(), spacing,
                              dims.data(), out);
  });
}

std::tuple<Out<const std::int32_t>, Out<const std::int32_t>> compact_groups(const Vertices& points,
                                                                            std::int32_t largest, double widest) {
  if (largest < 1) throw std::invalid_argument("largest: expected at least 1, got less");
  std::vector<geometry::Point> centers(points.shape(0));
  for (std::size_t i = 0; i < centers.size(); ++i) {
    const double* x = points.data() + 3 * i;
    if (!std::isfinite(x[0]) || !std::isfinite(x[1]) || !std::isfinite(x[2]))
      throw std::invalid_argument("points: expected finite positions, got another");
    centers[i] = {x[0], x[1], x[2]};
  }
  std::vector<std::int32_t> order, starts;
  without_gil([&] {
    for (const geometry::TreeRange& node : geometry::median_tree(centers, largest, order, widest))
      if (node.right < 0) starts.push_back(node.begin);
  });
  const std::size_t groups = starts.size(), count = order.size();
  return {to_ndarray<const std::int32_t>(std::move(order), {count}),
          to_ndarray<const std::int32_t>(std::move(starts), {groups})};
}

}  // namespace

void bind_geometry(nb::module_& m) {
  m.def("winding_number", &winding_number, "vertices"_a.noconvert(), "triangles"_a.noconvert(), "points"_a.noconvert(),
        "exact"_a = false, "Generalised winding number of each point, shape (N,), float64.");
  m.def("points_inside", &points_inside, "vertices"_a.noconvert(), "triangles"_a.noconvert(), "points"_a.noconvert(),
        "1 where the winding number is above 1/2, else 0; shape (N,), uint8.");
  m.def("mesh_topology", &mesh_topology, "vertices"_a.noconvert(), "triangles"_a.noconvert(),
        "Edges whose directed uses do not cancel, shape (E, 2), int32; the number of edges with an odd number of "
        "triangles, and of those with three or more.");
  m.def("mesh_parts", &mesh_parts, "vertices"_a.noconvert(), "triangles"_a.noconvert(),
        "Per triangle, shape (T,): part, int32; 1 if wound against the first triangle of the part, uint8; and bits of "
        "its "
        "edges on the border of the part, uint8.");
  m.def("sample_cells", &sample_cells, "vertices"_a.noconvert(), "triangles"_a.noconvert(), "origin"_a, "spacing"_a,
        "dims"_a, "jitter"_a, "seed"_a,
        "One point per cell with winding number above 1/2, shape (M, 3), float64; and the number of those below -1/2.");
  m.def("distance_to_triangles", &distance_to_triangles, "vertices"_a.noconvert(), "triangles"_a.noconvert(),
        "origin"_a, "spacing"_a, "dims"_a, "limit"_a,
        "Distance from each grid node to the nearest triangle, infinity beyond a limit, float64.");
  m.def(
      "closest_on_mesh", &closest_on_mesh, "vertices"_a.noconvert(), "triangles"_a.noconvert(), "points"_a.noconvert(),
      "Nearest point of a mesh to each point: its triangle, shape (N,), int32; and its barycentric coordinates, shape "
      "(N, 3), float64.");
  nb::class_<CrossingSearch>(m, "CrossingSearch", "Search for triangles of a mesh that cross others; private.")
      .def(nb::init<const Vertices&, const Triangles&>(), "vertices"_a.noconvert(), "triangles"_a.noconvert())
      .def("flags", &CrossingSearch::flags, "vertices"_a.noconvert(),
           "Flags, shape (T,), uint8, of the triangles that cross another one with which they share no vertex.");
  m.def("opacity_density", &opacity_density, "means"_a.noconvert(), "covars"_a.noconvert(), "opacities"_a.noconvert(),
        "origin"_a, "spacing"_a, "dims"_a,
        "Sum of Gaussians times their opacities at each grid node, float64; they act up to 3 standard deviations.");
  m.def(
      "compact_groups", &compact_groups, "points"_a.noconvert(), "largest"_a, "widest"_a,
      "Order of the points, shape (N,), and starts of groups in it, ascending, shape (M,), int32. A group has at most "
      "`largest` points, and an extent of at most `widest` along each axis.");
  m.def("even_out", &even_out, "vertices"_a.noconvert(), "triangles"_a.noconvert(), "points"_a.noconvert(), "spacing"_a,
        "Points moved until their density is even up to the surface, shape (N, 3), float64.");
  m.def("thin_evenly", &thin_evenly, "points"_a.noconvert(), "keep"_a, "seed"_a,
        "Flags, shape (N,), uint8, of exactly `keep` points; the others are spread evenly.");
}
