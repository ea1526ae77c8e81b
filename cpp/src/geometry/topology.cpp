// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/topology.hpp"

#include <algorithm>
#include <numeric>

#include "diffmpm/core/call.hpp"

namespace diffmpm::geometry {
namespace {

struct Edge {
  std::int32_t low, high;
  std::uint32_t use;  // 3 * triangle + corner at which the edge begins
};

// For each vertex, the smallest index of a vertex at the same position.
std::vector<std::int32_t> merge_equal_positions(const MeshView& mesh) {
  struct Corner {
    Point at;
    std::int32_t index;
  };
  std::vector<Corner> corners(mesh.vertex_count);
  for (std::int64_t v = 0; v < mesh.vertex_count; ++v)
    corners[v] = {mesh.vertex(static_cast<std::int32_t>(v)), static_cast<std::int32_t>(v)};
  SparsePoll sparse_poll;
  std::sort(corners.begin(), corners.end(), [&](const Corner& a, const Corner& b) {
    sparse_poll();
    if (a.at.x != b.at.x) return a.at.x < b.at.x;
    if (a.at.y != b.at.y) return a.at.y < b.at.y;
    if (a.at.z != b.at.z) return a.at.z < b.at.z;
    return a.index < b.index;
  });
  std::vector<std::int32_t> merged(mesh.vertex_count);
  for (std::size_t i = 0; i < corners.size(); ++i) {
    sparse_poll();
    const Corner& c = corners[i];
    merged[c.index] = c.index;
    if (i == 0) continue;
    const Corner& b = corners[i - 1];
    if (b.at.x == c.at.x && b.at.y == c.at.y && b.at.z == c.at.z) merged[c.index] = merged[b.index];
  }
  return merged;
}

// All edges sorted by their ends, without those of triangles that collapse.
std::vector<Edge> sorted_edges(const MeshView& mesh, const std::vector<std::int32_t>& merged) {
  SparsePoll sparse_poll;
  const auto visit = [&](auto use) {
    for (std::int64_t t = 0; t < mesh.triangle_count; ++t) {
      sparse_poll(8);
      std::int32_t v[3];
      for (int k = 0; k < 3; ++k) v[k] = merged[mesh.triangles[3 * t + k]];
      if (v[0] == v[1] || v[1] == v[2] || v[2] == v[0]) continue;
      for (int k = 0; k < 3; ++k) {
        const std::int32_t a = v[k], b = v[(k + 1) % 3];
        use(Edge{std::min(a, b), std::max(a, b), static_cast<std::uint32_t>(3 * t + k)});
      }
    }
  };
  // A counting sort by the lower end; the few edges of each vertex are then sorted by comparison.
  std::vector<std::int64_t> first(mesh.vertex_count + 1, 0);
  visit([&](const Edge& e) { ++first[e.low + 1]; });
  std::partial_sum(first.begin(), first.end(), first.begin());
  std::vector<Edge> edges(first.back());
  std::vector<std::int64_t> next(first.begin(), first.end() - 1);
  visit([&](const Edge& e) { edges[next[e.low]++] = e; });
  for (std::int64_t v = 0; v < mesh.vertex_count; ++v)
    std::sort(edges.begin() + first[v], edges.begin() + first[v + 1], [&](const Edge& a, const Edge& b) {
      sparse_poll();
      return a.high != b.high ? a.high < b.high : a.use < b.use;
    });
  return edges;
}

// Calls visit(first, last) for the uses of each edge.
template <class Visit>
void for_each_edge(std::vector<Edge>& edges, Visit visit) {
  SparsePoll sparse_poll;
  for (std::size_t i = 0; i < edges.size();) {
    sparse_poll(8);
    std::size_t j = i;
    while (j < edges.size() && edges[j].low == edges[i].low && edges[j].high == edges[i].high) ++j;
    visit(edges.begin() + i, edges.begin() + j);
    i = j;
  }
}

// Disjoint sets of triangles; each triangle stores whether its winding differs from that of its parent in the set.
class Sets {
 public:
  explicit Sets(std::int64_t count) : parent_(count), turned_(count, 0), one_sided_(count, 0) {
    std::iota(parent_.begin(), parent_.end(), 0);
  }

  // Representative of the set of t; afterwards turned(t) is relative to it.
  std::int32_t find(std::int32_t t) {
    std::int32_t root = t;
    std::uint8_t turn = 0;
    while (parent_[root] != root) turn ^= turned_[root], root = parent_[root];
    while (t != root) {  // path compression
      const std::int32_t next = parent_[t];
      const std::uint8_t own = turned_[t];
      parent_[t] = root, turned_[t] = turn;
      turn ^= own, t = next;
    }
    return root;
  }

  // Joins the sets of two triangles; `differ`: their windings differ. The lowest triangle represents a set.
  void join(std::int32_t s, std::int32_t t, bool differ) {
    const std::int32_t a = find(s), b = find(t);
    const std::uint8_t turn = turned_[s] ^ turned_[t] ^ static_cast<std::uint8_t>(differ);
    if (a == b) {
      one_sided_[a] |= turn;
      return;
    }
    const std::int32_t low = std::min(a, b), high = std::max(a, b);
    parent_[high] = low, turned_[high] = turn;
    one_sided_[low] |= one_sided_[high];
  }

  std::uint8_t turned(std::int32_t t) const { return turned_[t]; }
  bool one_sided(std::int32_t root) const { return one_sided_[root] != 0; }

 private:
  std::vector<std::int32_t> parent_;
  std::vector<std::uint8_t> turned_, one_sided_;
};

}  // namespace

Topology topology(const MeshView& mesh) {
  const std::vector<std::int32_t> merged = merge_equal_positions(mesh);
  std::vector<Edge> edges = sorted_edges(mesh, merged);
  Topology result;
  for_each_edge(edges, [&](auto first, auto last) {
    std::int64_t net = 0;
    for (auto e = first; e != last; ++e) net += merged[mesh.triangles[e->use]] == e->low ? 1 : -1;
    if (net != 0) result.boundary.insert(result.boundary.end(), {first->low, first->high});
    if ((last - first) % 2 != 0) ++result.open;
    if (last - first > 2) ++result.non_manifold;
  });
  return result;
}

Parts parts(const MeshView& mesh) {
  const std::vector<std::int32_t> merged = merge_equal_positions(mesh);
  std::vector<Edge> edges = sorted_edges(mesh, merged);
  const auto triangle = [](const Edge& e) { return static_cast<std::int32_t>(e.use / 3); };
  const auto rises = [&](const Edge& e) { return merged[mesh.triangles[e.use]] == e.low; };
  Sets sets(mesh.triangle_count);
  for_each_edge(edges, [&](auto first, auto last) {
    if (last - first == 2) sets.join(triangle(first[0]), triangle(first[1]), rises(first[0]) == rises(first[1]));
  });

  Parts result;
  result.part.resize(mesh.triangle_count);
  result.turned.assign(mesh.triangle_count, 0);
  result.border.assign(mesh.triangle_count, 0);
  std::int32_t count = 0;
  SparsePoll sparse_poll;
  for (std::int64_t t = 0; t < mesh.triangle_count; ++t) {  // the representative of a set comes first
    sparse_poll(4);
    const std::int32_t root = sets.find(static_cast<std::int32_t>(t));
    result.part[t] = root == t ? count++ : result.part[root];
    if (!sets.one_sided(root)) result.turned[t] = sets.turned(static_cast<std::int32_t>(t));
  }
  const auto part = [&](const Edge& e) { return result.part[triangle(e)]; };
  for_each_edge(edges, [&](auto first, auto last) {
    if (last - first > 2) std::sort(first, last, [&](const Edge& a, const Edge& b) { return part(a) < part(b); });
    for (auto from = first; from != last;) {
      auto to = from;
      std::int64_t net = 0;
      for (; to != last && part(*to) == part(*from); ++to)
        net += rises(*to) != (result.turned[triangle(*to)] != 0) ? 1 : -1;
      for (; from != to; ++from)
        if (net != 0) result.border[triangle(*from)] |= static_cast<std::uint8_t>(1u << from->use % 3);
    }
  });
  return result;
}

}  // namespace diffmpm::geometry
