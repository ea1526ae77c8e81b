// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "diffmpm/geometry/median_tree.hpp"
#include "diffmpm/geometry/solid_angle.hpp"

namespace diffmpm::geometry {

// A triangle mesh as plain arrays; not owned.
struct MeshView {
  const double* vertices = nullptr;         // [vertex_count][3], finite
  const std::int32_t* triangles = nullptr;  // [triangle_count][3], indices in [0, vertex_count)
  std::int64_t vertex_count = 0;
  std::int64_t triangle_count = 0;

  Point vertex(std::int64_t v) const { return {vertices[3 * v], vertices[3 * v + 1], vertices[3 * v + 2]}; }
  Point corner(std::int64_t t, int k) const { return vertex(triangles[3 * t + k]); }
};

// The expansion of a node is used where the query is farther from its centre than this many node radii. The error of the
// second-order expansion falls with the cube of this ratio; 2 keeps it below 7e-3 (median 8e-4) on the meshes of the tests.
inline constexpr double kFarRatio = 2.0;
// Within this distance of the threshold 1/2 the exact sum decides, not the expansion.
inline constexpr double kUndecided = 0.02;

// Bounding-volume hierarchy over the triangles of a mesh, with the moments of each node.
class WindingTree {
 public:
  explicit WindingTree(const MeshView& mesh);

  // Generalised winding number of q: sum of signed solid angles / 4 pi. 1 inside a closed mesh oriented outward, 0 outside,
  // in between near holes. far_ratio = infinity gives the exact sum.
  double winding(const Point& q, double far_ratio = kFarRatio) const { return evaluate(q, far_ratio).winding; }

  // winding(q), evaluated exactly where the approximation lies within kUndecided of +1/2 or -1/2.
  double decided_winding(const Point& q) const;

  // Throws std::invalid_argument if `count` calls of decided_winding would visit too many triangles, as happens if they overlap
  // or are very long. Estimated from a few queries; at(n) is the n-th query.
  template <class At>
  void check_cost(std::int64_t count, const At& at) const {
    const std::int64_t probes = std::min(count, kProbes);
    double visits = 0;
    for (std::int64_t n = 0; n < probes; ++n) visits += cost(at(n * count / probes));
    const auto queries = static_cast<double>(count);
    if (probes > 0) refuse_above_limit(visits / static_cast<double>(probes) * queries, queries);
  }

 private:
  struct Node : TreeRange {
    Moments moments;
  };

  struct Evaluated {
    double winding;
    std::int64_t visits;  // triangles visited
  };
  Evaluated evaluate(const Point& q, double far_ratio) const;
  double cost(const Point& q) const;
  void refuse_above_limit(double visits, double queries) const;

  static constexpr std::int64_t kProbes = 32;

  void fill(Node& node);

  std::vector<Node> nodes_;
  std::vector<Point> corners_;  // three per triangle, in tree order
};

// out[i] = winding number of points[i]. Arrays [count][3] and [count].
void winding_number(const MeshView& mesh, const double* points, std::int64_t count, bool exact, double* out);

// out[i] = 1 where the winding number of points[i] is above 1/2, else 0.
void points_inside(const MeshView& mesh, const double* points, std::int64_t count, std::uint8_t* out);

}  // namespace diffmpm::geometry
