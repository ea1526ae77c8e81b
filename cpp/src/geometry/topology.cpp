// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/topology.hpp"

#include <algorithm>
#include <numeric>

namespace diffmpm::geometry {
namespace {

struct Edge {
  std::int32_t low, high;
  std::int32_t sign;  // +1 where the triangle runs from low to high
};

// For every vertex, the smallest index of the vertices at its position.
std::vector<std::int32_t> merge_equal_positions(const MeshView& mesh) {
  std::vector<std::int32_t> order(mesh.vertex_count), merged(mesh.vertex_count);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    const Point p = mesh.vertex(a), q = mesh.vertex(b);
    if (p.x != q.x) return p.x < q.x;
    if (p.y != q.y) return p.y < q.y;
    if (p.z != q.z) return p.z < q.z;
    return a < b;
  });
  for (std::size_t i = 0; i < order.size(); ++i) {
    merged[order[i]] = order[i];
    if (i == 0) continue;
    const Point p = mesh.vertex(order[i - 1]), q = mesh.vertex(order[i]);
    if (p.x == q.x && p.y == q.y && p.z == q.z) merged[order[i]] = merged[order[i - 1]];
  }
  return merged;
}

}  // namespace

Topology topology(const MeshView& mesh) {
  const std::vector<std::int32_t> merged = merge_equal_positions(mesh);
  std::vector<Edge> edges;
  edges.reserve(3 * mesh.triangle_count);
  for (std::int64_t t = 0; t < mesh.triangle_count; ++t) {
    for (int k = 0; k < 3; ++k) {
      const std::int32_t a = merged[mesh.triangles[3 * t + k]];
      const std::int32_t b = merged[mesh.triangles[3 * t + (k + 1) % 3]];
      if (a != b) edges.push_back({std::min(a, b), std::max(a, b), a < b ? 1 : -1});
    }
  }
  std::sort(edges.begin(), edges.end(),
            [](const Edge& a, const Edge& b) { return a.low != b.low ? a.low < b.low : a.high < b.high; });
  Topology result;
  for (std::size_t i = 0; i < edges.size();) {
    std::size_t j = i;
    std::int32_t net = 0;
    for (; j < edges.size() && edges[j].low == edges[i].low && edges[j].high == edges[i].high; ++j)
      net += edges[j].sign;
    if (net != 0) result.boundary.insert(result.boundary.end(), {edges[i].low, edges[i].high});
    if (j - i > 2) ++result.non_manifold;
    i = j;
  }
  return result;
}

}  // namespace diffmpm::geometry
