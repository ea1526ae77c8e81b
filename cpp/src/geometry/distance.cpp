// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/distance.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "diffmpm/core/memory.hpp"
#include "diffmpm/core/parallel.hpp"
#include "diffmpm/geometry/closest.hpp"

namespace diffmpm::geometry {
namespace {

// Squared distance of nodes without a marked node; above that of any grid.
constexpr std::int64_t kNone = std::int64_t{1} << 60;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Largest integer x with (x - i)^2 + a_i <= (x - u)^2 + a_u, for i < u.
std::int64_t separation(std::int64_t i, std::int64_t u, std::int64_t a_i, std::int64_t a_u) {
  const std::int64_t numerator = u * u - i * i + a_u - a_i, denominator = 2 * (u - i);
  const std::int64_t quotient = numerator / denominator;
  return numerator % denominator < 0 ? quotient - 1 : quotient;
}

// Lower envelope of the parabolas (x - i)^2 + line[i] at the nodes of one line.
// Source: Meijster, Roerdink and Hesselink 2000, A general algorithm for computing distance transforms in linear time.
struct Envelope {
  std::vector<std::int64_t> at, from, line;
  explicit Envelope(std::int64_t n) : at(n), from(n), line(n) {}

  void run(std::int64_t* values, std::int64_t n, std::int64_t stride) {
    std::int64_t top = -1;
    for (std::int64_t u = 0; u < n; ++u) {
      const std::int64_t a = values[u * stride];
      line[u] = a;
      if (a >= kNone) continue;
      std::int64_t start = 0;
      for (; top >= 0; --top) {
        const std::int64_t i = at[top];
        start = separation(i, u, line[i], a) + 1;
        if (start > from[top]) break;
        start = 0;
      }
      if (start >= n) continue;
      ++top;
      at[top] = u, from[top] = start;
    }
    if (top < 0) return;
    for (std::int64_t x = n - 1; x >= 0; --x) {
      while (from[top] > x) --top;
      const std::int64_t i = at[top];
      values[x * stride] = (x - i) * (x - i) + line[i];
    }
  }
};

}  // namespace

void distance_to_triangles(const MeshView& mesh, const double* origin, double spacing, const std::int64_t* dims,
                           double limit, double* distance) {
  const std::int64_t slab = dims[1] * dims[2];
  // Range of nodes of an axis within the limit of a triangle.
  const auto nodes = [&](std::int64_t t, int axis, std::int64_t& first, std::int64_t& last) {
    double low = kInfinity, high = -kInfinity;
    for (int k = 0; k < 3; ++k) {
      const double v = mesh.vertices[3 * std::int64_t{mesh.triangles[3 * t + k]} + axis];
      low = std::min(low, v), high = std::max(high, v);
    }
    const auto node = [&](double v) {
      return std::clamp((v - origin[axis]) / spacing, -1.0, static_cast<double>(dims[axis]));
    };
    first = std::max<std::int64_t>(0, static_cast<std::int64_t>(std::ceil(node(low - limit))));
    last = std::min(dims[axis] - 1, static_cast<std::int64_t>(std::floor(node(high + limit))));
  };
  // Triangles by the slabs of nodes that they may be near to, so that slabs are independent.
  std::vector<std::vector<std::int32_t>> near(static_cast<std::size_t>(dims[0]));
  SparsePoll sparse_poll;
  for (std::int64_t t = 0; t < mesh.triangle_count; ++t, sparse_poll()) {
    std::int64_t first, last;
    nodes(t, 0, first, last);
    for (std::int64_t i = first; i <= last; ++i)
      near[static_cast<std::size_t>(i)].push_back(static_cast<std::int32_t>(t));
  }
  parallel_for(dims[0], 1, [&](std::int64_t i) {
    double* const out = distance + i * slab;
    std::fill_n(out, slab, limit * limit);
    for (const std::int32_t t : near[static_cast<std::size_t>(i)]) {
      std::int64_t j0, j1, k0, k1;
      nodes(t, 1, j0, j1), nodes(t, 2, k0, k1);
      const Point a = mesh.corner(t, 0), b = mesh.corner(t, 1), c = mesh.corner(t, 2);
      const Point normal = cross(b - a, c - a);
      const double reach2 = limit * limit * dot(normal, normal);
      for (std::int64_t j = j0; j <= j1; ++j)
        for (std::int64_t k = k0; k <= k1; ++k) {
          const Point q{origin[0] + spacing * static_cast<double>(i), origin[1] + spacing * static_cast<double>(j),
                        origin[2] + spacing * static_cast<double>(k)};
          const double height = dot(q - a, normal);
          if (height * height > reach2) continue;  // farther from the plane than the limit
          double& best = out[j * dims[2] + k];
          best = std::min(best, closest_on_triangle(q, a, b, c).squared);
        }
    }
    for (std::int64_t n = 0; n < slab; ++n) out[n] = out[n] < limit * limit ? std::sqrt(out[n]) : kInfinity;
  });
}

void distance_to_marked(const std::uint8_t* marked, const std::int64_t* dims, double* distance) {
  const std::int64_t count = dims[0] * dims[1] * dims[2];
  const Buffer<std::int64_t> buffer(count);
  std::int64_t* const squared = buffer.data();
  parallel_for(count, 4096, [&](std::int64_t n) { squared[n] = marked[n] ? 0 : kNone; });
  for (int axis = 0; axis < 3; ++axis) {
    const std::int64_t length = dims[axis];
    if (count == 0) return;
    std::int64_t stride = 1;
    for (int a = axis + 1; a < 3; ++a) stride *= dims[a];
    parallel_for_with(
        count / length, 32, thread_count(), [&] { return Envelope(length); },
        [&](Envelope& envelope, std::int64_t n) {
          envelope.run(squared + n / stride * stride * length + n % stride, length, stride);
        });
  }
  parallel_for(count, 4096, [&](std::int64_t n) {
    const std::int64_t s = squared[n];
    distance[n] = s >= kNone ? std::numeric_limits<double>::infinity() : std::sqrt(static_cast<double>(s));
  });
}

}  // namespace diffmpm::geometry
