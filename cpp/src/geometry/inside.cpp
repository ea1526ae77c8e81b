// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/inside.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <stdexcept>

#include "diffmpm/core/parallel.hpp"

namespace diffmpm::geometry {
namespace {

// Up to this many triangles the exact sum is cheaper than another level of nodes.
constexpr std::int32_t kLeafSize = 8;
// The depth of median splits is at most log2 of the number of triangles, which is below 31.
constexpr int kStackSize = 64;

// Limit on triangle visits by all inside tests of a call, some minutes. Ten million particles from ten million triangles take
// 1e9.
constexpr double kMostVisits = 2e9;
// Lower limit for meshes of more than kManyTriangles triangles whose tree is useless: queries visit more than this fraction of
// them on average.
constexpr double kMostUseless = 3e8, kUselessFraction = 0.25, kManyTriangles = 1e5;
constexpr double kVisitSeconds = 50e-9;
constexpr int kVisitRounds = 16;  // of SparsePoll, per visit

bool decided(double winding) { return std::abs(std::abs(winding) - 0.5) > kUndecided; }

}  // namespace

WindingTree::WindingTree(const MeshView& mesh) {
  const auto n = static_cast<std::int32_t>(mesh.triangle_count);
  std::vector<Point> centroids(n);
  for (std::int32_t t = 0; t < n; ++t)
    centroids[t] = (1.0 / 3.0) * (mesh.corner(t, 0) + mesh.corner(t, 1) + mesh.corner(t, 2));
  std::vector<std::int32_t> order;
  for (const TreeRange& range : median_tree(centroids, kLeafSize, order)) nodes_.push_back({range, {}});
  corners_.reserve(3 * order.size());
  for (const std::int32_t t : order)
    for (int k = 0; k < 3; ++k) corners_.push_back(mesh.corner(t, k));
  parallel_for(static_cast<std::int64_t>(nodes_.size()), 64, [&](std::int64_t i) { fill(nodes_[i]); });
}

void WindingTree::fill(Node& node) {
  Moments& m = node.moments;
  Point weighted, plain;
  double area = 0.0;
  for (std::int32_t t = node.begin; t < node.end; ++t) {
    const Point &a = corners_[3 * t], &b = corners_[3 * t + 1], &c = corners_[3 * t + 2];
    const Point normal = cross(b - a, c - a);
    const double weight = std::sqrt(dot(normal, normal));
    weighted = weighted + (weight / 3.0) * (a + b + c);
    plain = plain + (1.0 / 3.0) * (a + b + c);
    area += weight;
  }
  m.center = area > 0.0 ? (1.0 / area) * weighted : (1.0 / (node.end - node.begin)) * plain;
  double squared = 0.0;
  for (std::int32_t v = 3 * node.begin; v < 3 * node.end; ++v) {
    const Point d = corners_[v] - m.center;
    squared = std::max(squared, dot(d, d));
  }
  m.radius = std::sqrt(squared);
  for (std::int32_t t = node.begin; t < node.end; ++t)
    add_triangle(m, corners_[3 * t], corners_[3 * t + 1], corners_[3 * t + 2]);
}

WindingTree::Evaluated WindingTree::evaluate(const Point& q, double far_ratio) const {
  if (nodes_.empty()) return {0.0, 0};
  std::int64_t visits = 0;
  SparsePoll sparse_poll;
  const double squared_ratio = far_ratio * far_ratio;
  std::int32_t stack[kStackSize];
  int top = 0;
  stack[top++] = 0;
  double sum = 0.0;
  while (top > 0) {
    const std::int32_t index = stack[--top];
    const Node& node = nodes_[index];
    const Point d = node.moments.center - q;
    const double radius = node.moments.radius;
    if (dot(d, d) > squared_ratio * radius * radius && radius > 0.0) {
      sum += far_solid_angle(node.moments, q);
    } else if (node.right < 0) {
      visits += node.end - node.begin;
      sparse_poll(static_cast<std::uint32_t>(kVisitRounds * (node.end - node.begin)));
      for (std::int32_t t = node.begin; t < node.end; ++t)
        sum += solid_angle(q, corners_[3 * t], corners_[3 * t + 1], corners_[3 * t + 2]);
    } else {
      stack[top++] = node.right;
      stack[top++] = index + 1;
    }
  }
  return {sum / kFourPi, visits};
}

double WindingTree::decided_winding(const Point& q) const {
  const double w = winding(q);
  return decided(w) ? w : winding(q, std::numeric_limits<double>::infinity());
}

double WindingTree::cost(const Point& q) const {
  const auto [winding, visits] = evaluate(q, kFarRatio);
  return static_cast<double>(visits) + (decided(winding) ? 0.0 : static_cast<double>(corners_.size() / 3));
}

void WindingTree::refuse_above_limit(double visits, double queries) const {
  const auto triangles = static_cast<double>(corners_.size() / 3);
  const bool useless = triangles > kManyTriangles && visits > kUselessFraction * queries * triangles;
  const double limit = useless ? kMostUseless : kMostVisits;
  if (visits <= limit) return;
  char text[256];
  std::snprintf(
      text, sizeof(text),
      "mesh: expected inside tests that visit at most %.0e triangles, got about %.1e, some %.0f minutes on one "
      "core; %s: remesh it, or ask for fewer particles",
      limit, visits, visits * kVisitSeconds / 60.0,
      useless ? "its triangles overlap or are very long" : "the mesh has many triangles and many points are tested");
  throw std::invalid_argument(text);
}

void winding_number(const MeshView& mesh, const double* points, std::int64_t count, bool exact, double* out) {
  const WindingTree tree(mesh);
  const auto at = [&](std::int64_t i) { return Point{points[3 * i], points[3 * i + 1], points[3 * i + 2]}; };
  if (!exact) tree.check_cost(count, at);
  const double ratio = exact ? std::numeric_limits<double>::infinity() : kFarRatio;
  parallel_for(count, 16, [&](std::int64_t i) { out[i] = tree.winding(at(i), ratio); });
}

void points_inside(const MeshView& mesh, const double* points, std::int64_t count, std::uint8_t* out) {
  const WindingTree tree(mesh);
  const auto at = [&](std::int64_t i) { return Point{points[3 * i], points[3 * i + 1], points[3 * i + 2]}; };
  tree.check_cost(count, at);
  parallel_for(count, 16, [&](std::int64_t i) { out[i] = tree.decided_winding(at(i)) > 0.5 ? 1 : 0; });
}

}  // namespace diffmpm::geometry
