// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/tuple.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "diffmpm/geometry/inside.hpp"
#include "diffmpm/geometry/sampling.hpp"
#include "diffmpm/geometry/topology.hpp"
#include "native_call.hpp"

using namespace nb::literals;

namespace {

namespace geometry = diffmpm::geometry;

using Vertices = nb::ndarray<const double, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;
using Triangles = nb::ndarray<const std::int32_t, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;

constexpr std::int64_t kMostCells = std::int64_t{1} << 31;

// A mesh with indices of its own: another thread may write into the caller's after they were checked.
class CheckedMesh {
 public:
  CheckedMesh(const Vertices& vertices, const Triangles& triangles)
      : indices_(triangles.data(), triangles.data() + triangles.size()),
        view_{vertices.data(), indices_.data(), static_cast<std::int64_t>(vertices.shape(0)),
              static_cast<std::int64_t>(triangles.shape(0))} {
    for (const std::int32_t index : indices_)
      if (index < 0 || index >= view_.vertex_count)
        throw std::invalid_argument("triangles: expected indices below the number of vertices, got another one");
    for (std::int64_t i = 0; i < 3 * view_.vertex_count; ++i)
      if (!std::isfinite(view_.vertices[i]))
        throw std::invalid_argument("vertices: expected finite numbers, got another");
  }
  operator const geometry::MeshView&() const { return view_; }

 private:
  std::vector<std::int32_t> indices_;
  geometry::MeshView view_;
};

Out<double> winding_number(const Vertices& vertices, const Triangles& triangles, const Vertices& points, bool exact) {
  const CheckedMesh mesh(vertices, triangles);
  std::vector<double> out(points.shape(0));
  {
    const NativeCall call;
    geometry::winding_number(mesh, points.data(), static_cast<std::int64_t>(points.shape(0)), exact, out.data());
  }
  return to_ndarray<double>(std::move(out), {out.size()});
}

Out<std::uint8_t> points_inside(const Vertices& vertices, const Triangles& triangles, const Vertices& points) {
  const CheckedMesh mesh(vertices, triangles);
  std::vector<std::uint8_t> out(points.shape(0));
  {
    const NativeCall call;
    geometry::points_inside(mesh, points.data(), static_cast<std::int64_t>(points.shape(0)), out.data());
  }
  return to_ndarray<std::uint8_t>(std::move(out), {out.size()});
}

std::tuple<Out<const std::int32_t>, std::int64_t, std::int64_t> mesh_topology(const Vertices& vertices,
                                                                              const Triangles& triangles) {
  const CheckedMesh mesh(vertices, triangles);
  geometry::Topology result;
  {
    const NativeCall call;
    result = geometry::topology(mesh);
  }
  return {to_ndarray<const std::int32_t>(std::move(result.boundary), {result.boundary.size() / 2, 2}), result.open,
          result.non_manifold};
}

std::tuple<Out<const std::int32_t>, Out<std::uint8_t>, Out<std::uint8_t>> mesh_parts(const Vertices& vertices,
                                                                                     const Triangles& triangles) {
  const CheckedMesh mesh(vertices, triangles);
  geometry::Parts result;
  {
    const NativeCall call;
    result = geometry::parts(mesh);
  }
  return {to_ndarray<const std::int32_t>(std::move(result.part), {result.part.size()}),
          to_ndarray<std::uint8_t>(std::move(result.turned), {result.turned.size()}),
          to_ndarray<std::uint8_t>(std::move(result.border), {result.border.size()})};
}

std::tuple<Out<double>, std::int64_t> sample_cells(const Vertices& vertices, const Triangles& triangles,
                                                   std::tuple<double, double, double> origin, double spacing,
                                                   std::tuple<std::int64_t, std::int64_t, std::int64_t> dims,
                                                   double jitter, std::uint64_t seed) {
  const CheckedMesh mesh(vertices, triangles);
  geometry::CellGrid grid;
  grid.origin = {std::get<0>(origin), std::get<1>(origin), std::get<2>(origin)};
  grid.spacing = spacing;
  grid.dims[0] = std::get<0>(dims);
  grid.dims[1] = std::get<1>(dims);
  grid.dims[2] = std::get<2>(dims);
  if (!std::isfinite(grid.origin.x + grid.origin.y + grid.origin.z) || !std::isfinite(spacing) || spacing <= 0)
    throw std::invalid_argument("origin, spacing: expected finite numbers, the spacing above 0, got others");
  for (const std::int64_t n : grid.dims)
    if (n < 0 || n > kMostCells) throw std::invalid_argument("dims: expected at most 2^31 cells an axis, got another");
  grid.jitter = jitter;
  grid.seed = seed;
  geometry::InsidePoints result;
  {
    const NativeCall call;
    result = geometry::sample_cells(mesh, grid);
  }
  return {to_ndarray<double>(std::move(result.points), {result.points.size() / 3, 3}), result.inverted};
}

Out<std::uint8_t> thin_evenly(const Vertices& points, std::int64_t keep, std::uint64_t seed) {
  std::vector<std::uint8_t> flags(points.shape(0));
  {
    const NativeCall call;
    geometry::thin_evenly(points.data(), static_cast<std::int64_t>(points.shape(0)), keep, seed, flags.data());
  }
  return to_ndarray<std::uint8_t>(std::move(flags), {flags.size()});
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
  m.def(
      "mesh_parts", &mesh_parts, "vertices"_a.noconvert(), "triangles"_a.noconvert(),
      "Of each triangle: its part, int32; 1 if it is wound against the part's first one, uint8; and bits of the edges "
      "where the part ends, uint8. Shape (T,) each.");
  m.def("sample_cells", &sample_cells, "vertices"_a.noconvert(), "triangles"_a.noconvert(), "origin"_a, "spacing"_a,
        "dims"_a, "jitter"_a, "seed"_a,
        "One point a cell, those with winding number above 1/2, shape (M, 3), float64; and how many lie below -1/2.");
  m.def("thin_evenly", &thin_evenly, "points"_a.noconvert(), "keep"_a, "seed"_a,
        "Flags, shape (N,), uint8, that keep exactly `keep` points; those left out are spread evenly.");
}
