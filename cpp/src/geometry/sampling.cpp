// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <stdexcept>

#include "diffmpm/core/memory.hpp"
#include "diffmpm/core/parallel.hpp"
#include "diffmpm/geometry/topology.hpp"

namespace diffmpm::geometry {
namespace {

// Cells along the edge of a block. Larger blocks need fewer winding numbers far from the surface; smaller ones contain fewer
// separate regions near it.
constexpr std::int64_t kBlock = 4;
constexpr int kBlockCells = kBlock * kBlock * kBlock;
// A region of an open mesh is classified as a whole only where its winding number is this far from +-1/2. If neither a block nor
// its neighbours contain a boundary edge, the winding number changes by at most asin(0.87 / 1.5) / 2 pi = 0.10 per straight edge
// within the block.
constexpr double kRegionMargin = 0.25;
// Relative growth of a box in the touch test, against rounding errors.
constexpr double kTouchSlack = 1e-6;

// Limit on pairs of a triangle and a cell in its bounding box. Ten million triangles in as many cells have some 1e8.
constexpr double kMostBoxes = 1e10;
constexpr std::uint32_t kTriangleRounds = 32;  // of SparsePoll, per triangle

[[noreturn]] void refuse_boxes(double boxes) {
  char text[256];
  std::snprintf(
      text, sizeof(text),
      "mesh: expected triangles whose bounding boxes contain at most %.0e cells in total, got %.0e; its triangles are "
      "large compared with the spacing: choose a larger spacing or fewer particles",
      kMostBoxes, boxes);
  throw std::invalid_argument(text);
}

std::int8_t sign_of(double winding) { return winding > 0.5 ? 1 : (winding < -0.5 ? -1 : 0); }

// A grid of cubic boxes with a flag each.
struct Boxes {
  Point origin;
  double edge = 1.0;
  std::int64_t dims[3] = {0, 0, 0};
  std::vector<std::uint8_t> marked;

  Boxes(const CellGrid& grid, std::int64_t cells_per_edge)
      : origin(grid.origin), edge(grid.spacing * static_cast<double>(cells_per_edge)) {
    for (int a = 0; a < 3; ++a) dims[a] = (grid.dims[a] + cells_per_edge - 1) / cells_per_edge;
    marked.assign(dims[0] * dims[1] * dims[2], 0);
  }

  std::int64_t index(std::int64_t i, std::int64_t j, std::int64_t k) const { return (i * dims[1] + j) * dims[2] + k; }
  Point center(std::int64_t i, std::int64_t j, std::int64_t k) const {
    return {origin.x + edge * (static_cast<double>(i) + 0.5), origin.y + edge * (static_cast<double>(j) + 0.5),
            origin.z + edge * (static_cast<double>(k) + 0.5)};
  }

  // Boxes from `first` to `last` along each axis; empty if last < first along any axis.
  struct Range {
    std::int64_t first[3], last[3];
    double count() const {
      double product = 1;
      for (int s = 0; s < 3; ++s) product *= std::max(0.0, static_cast<double>(last[s] - first[s] + 1));
      return product;
    }
  };

  // Boxes that overlap the bounding box of a triangle when grown to `half` edges around their centres.
  Range boxes_around(const Point& a, const Point& b, const Point& c, double half) const {
    const double low[3] = {std::min({a.x, b.x, c.x}), std::min({a.y, b.y, c.y}), std::min({a.z, b.z, c.z})};
    const double high[3] = {std::max({a.x, b.x, c.x}), std::max({a.y, b.y, c.y}), std::max({a.z, b.z, c.z})};
    const double corner[3] = {origin.x, origin.y, origin.z};
    Range range;
    for (int s = 0; s < 3; ++s) {
      // Clamped before the conversion, because a mesh may be far larger than the grid.
      const double from = (low[s] - corner[s]) / edge - 0.5 - half, to = (high[s] - corner[s]) / edge - 0.5 + half;
      const double limit = static_cast<double>(dims[s]);
      range.first[s] = static_cast<std::int64_t>(std::ceil(std::clamp(from, 0.0, limit)));
      range.last[s] = static_cast<std::int64_t>(std::floor(std::clamp(to, -1.0, limit - 1.0)));
    }
    return range;
  }

  // Marks at least every box that touches the triangle when grown to `half` edges around its centre: the bounding boxes overlap
  // and the plane of the triangle cuts the box.
  void mark(const Point& a, const Point& b, const Point& c, double half, SparsePoll& sparse_poll) {
    const Range range = boxes_around(a, b, c, half);
    const std::int64_t *first = range.first, *last = range.last;
    const Point n = cross(b - a, c - a);
    const double reach = half * edge * (std::abs(n.x) + std::abs(n.y) + std::abs(n.z)) * (1.0 + kTouchSlack);
    for (std::int64_t i = first[0]; i <= last[0]; ++i)
      for (std::int64_t j = first[1]; j <= last[1]; ++j) {
        sparse_poll(static_cast<std::uint32_t>(1 + std::max<std::int64_t>(0, last[2] - first[2])));
        for (std::int64_t k = first[2]; k <= last[2]; ++k)
          if (std::abs(dot(n, center(i, j, k) - a)) <= reach) marked[index(i, j, k)] = 1;
      }
  }
};

// Classifies the cells of a grid block by block.
class Classifier {
 public:
  Classifier(const MeshView& mesh, const CellGrid& grid)
      : grid_(grid), tree_(mesh), touched_(grid, 1), near_boundary_(grid, kBlock) {
    constexpr double kHalf = 0.5 * (1.0 + kTouchSlack);
    SparsePoll sparse_poll;
    double boxes = 0;
    for (std::int64_t t = 0; t < mesh.triangle_count; ++t) {
      boxes += touched_.boxes_around(mesh.corner(t, 0), mesh.corner(t, 1), mesh.corner(t, 2), kHalf).count();
      sparse_poll(kTriangleRounds);
    }
    if (boxes > kMostBoxes) refuse_boxes(boxes);
    for (std::int64_t t = 0; t < mesh.triangle_count; ++t) {
      touched_.mark(mesh.corner(t, 0), mesh.corner(t, 1), mesh.corner(t, 2), kHalf, sparse_poll);
      sparse_poll(kTriangleRounds);
    }
    const Topology edges = topology(mesh);
    closed_ = edges.boundary.empty();
    for (std::size_t e = 0; e < edges.boundary.size(); e += 2) {
      const Point a = mesh.vertex(edges.boundary[e]), b = mesh.vertex(edges.boundary[e + 1]);
      near_boundary_.mark(a, b, b, 1.5, sparse_poll);  // grown by one block in every direction
    }
    check_cost();
  }

  std::int64_t block_count() const { return static_cast<std::int64_t>(near_boundary_.marked.size()); }

  // Writes the class of each cell of a block: +1 inside, -1 inside an inverted surface, 0 outside.
  void classify(std::int64_t block, std::int8_t* cells) const {
    const std::int64_t bk = block % near_boundary_.dims[2], rest = block / near_boundary_.dims[2];
    const std::int64_t first[3] = {rest / near_boundary_.dims[1] * kBlock, rest % near_boundary_.dims[1] * kBlock,
                                   bk * kBlock};
    Local local;
    for (int a = 0; a < 3; ++a) local.size[a] = std::min(kBlock, grid_.dims[a] - first[a]);
    for (std::int64_t i = 0; i < local.size[0]; ++i)
      for (std::int64_t j = 0; j < local.size[1]; ++j)
        for (std::int64_t k = 0; k < local.size[2]; ++k) {
          const std::int64_t cell[3] = {first[0] + i, first[1] + j, first[2] + k};
          const std::int64_t at = touched_.index(cell[0], cell[1], cell[2]);
          const int slot = Local::slot(i, j, k);
          if (local.done[slot]) continue;
          if (near_boundary_.marked[block] || touched_.marked[at]) {
            cells[at] = sign_of(tree_.decided_winding(grid_.point(cell[0], cell[1], cell[2])));
          } else {
            classify_region(local, first, i, j, k, cells);
          }
        }
  }

 private:
  // Cells that the surface touches dominate the cost: one winding number each.
  void check_cost() const {
    std::vector<std::int64_t> cells;
    for (std::size_t c = 0; c < touched_.marked.size(); ++c)
      if (touched_.marked[c]) cells.push_back(static_cast<std::int64_t>(c));
    tree_.check_cost(static_cast<std::int64_t>(cells.size()), [&](std::int64_t n) {
      const std::int64_t c = cells[n], rest = c / grid_.dims[2];
      return grid_.point(rest / grid_.dims[1], rest % grid_.dims[1], c % grid_.dims[2]);
    });
  }

  struct Local {
    std::int64_t size[3] = {0, 0, 0};
    bool done[kBlockCells] = {};
    static int slot(std::int64_t i, std::int64_t j, std::int64_t k) {
      return static_cast<int>((i * kBlock + j) * kBlock + k);
    }
  };

  // Classifies the cells of the block that are connected to cell (i, j, k) through faces and do not touch the surface. The
  // surface does not pass between them, so the winding number at the centre of the first cell holds for all.
  void classify_region(Local& local, const std::int64_t* first, std::int64_t i, std::int64_t j, std::int64_t k,
                       std::int8_t* cells) const {
    const double winding = tree_.winding(touched_.center(first[0] + i, first[1] + j, first[2] + k));
    const bool decided = closed_ || std::abs(std::abs(winding) - 0.5) > kRegionMargin;
    std::int64_t stack[kBlockCells][3] = {{i, j, k}};
    int top = 1;
    local.done[Local::slot(i, j, k)] = true;
    while (top > 0) {
      --top;
      const std::int64_t c[3] = {stack[top][0], stack[top][1], stack[top][2]};
      const std::int64_t g[3] = {first[0] + c[0], first[1] + c[1], first[2] + c[2]};
      cells[touched_.index(g[0], g[1], g[2])] =
          sign_of(decided ? winding : tree_.decided_winding(grid_.point(g[0], g[1], g[2])));
      for (int face = 0; face < 6; ++face) {
        std::int64_t n[3] = {c[0], c[1], c[2]};
        const int axis = face / 2;
        n[axis] += face % 2 == 0 ? -1 : 1;
        if (n[axis] < 0 || n[axis] >= local.size[axis]) continue;
        const int slot = Local::slot(n[0], n[1], n[2]);
        if (local.done[slot] || touched_.marked[touched_.index(first[0] + n[0], first[1] + n[1], first[2] + n[2])])
          continue;
        local.done[slot] = true;
        std::copy(n, n + 3, stack[top++]);
      }
    }
  }

  const CellGrid& grid_;
  WindingTree tree_;
  Boxes touched_;        // cells that the surface may touch
  Boxes near_boundary_;  // blocks with a boundary edge in themselves or in a neighbour
  bool closed_ = true;
};

// Spreads the lowest 21 bits of v to every third bit.
std::uint64_t spread_bits(std::uint64_t v) {
  v &= 0x1fffff;
  v = (v | v << 32) & 0x1f00000000ffffULL;
  v = (v | v << 16) & 0x1f0000ff0000ffULL;
  v = (v | v << 8) & 0x100f00f00f00f00fULL;
  v = (v | v << 4) & 0x10c30c30c30c30c3ULL;
  return (v | v << 2) & 0x1249249249249249ULL;
}

}  // namespace

InsidePoints sample_cells(const MeshView& mesh, const CellGrid& grid) {
  InsidePoints result;
  if (grid.count() <= 0) return result;
  require_memory(4.0 * static_cast<double>(grid.count()),
                 "spacing: expected cells that fit into half of the free memory",
                 "choose a larger spacing or fewer particles");
  const Classifier classifier(mesh, grid);
  std::vector<std::int8_t> cells(grid.count(), 0);
  parallel_for(classifier.block_count(), 4, [&](std::int64_t block) { classifier.classify(block, cells.data()); });

  SparsePoll sparse_poll;
  std::int64_t inside = 0;
  for (const std::int8_t c : cells) {
    inside += c > 0;
    result.inverted += c < 0;
    sparse_poll();
  }
  result.points.reserve(3 * inside);
  std::int64_t cell = 0;
  for (std::int64_t i = 0; i < grid.dims[0]; ++i)
    for (std::int64_t j = 0; j < grid.dims[1]; ++j)
      for (std::int64_t k = 0; k < grid.dims[2]; ++k, ++cell)
        if (sparse_poll(); cells[cell] > 0) {
          const Point p = grid.point(i, j, k);
          result.points.insert(result.points.end(), {p.x, p.y, p.z});
        }
  return result;
}

void thin_evenly(const double* points, std::int64_t count, std::int64_t keep, std::uint64_t seed,
                 std::uint8_t* keep_flags) {
  std::fill(keep_flags, keep_flags + count, std::uint8_t{1});
  const std::int64_t drop = count - keep;
  if (drop <= 0) return;
  double low[3], scale = 0.0;
  for (int a = 0; a < 3; ++a) {
    low[a] = points[a];
    double high = points[a];
    for (std::int64_t p = 0; p < count; ++p) {
      low[a] = std::min(low[a], points[3 * p + a]);
      high = std::max(high, points[3 * p + a]);
    }
    scale = std::max(scale, high - low[a]);
  }
  const double to_code = scale > 0.0 ? 2097151.0 / scale : 0.0;  // 2^21 - 1
  std::vector<std::uint64_t> code(count);
  SparsePoll sparse_poll;
  for (std::int64_t p = 0; p < count; ++p) {
    sparse_poll();
    code[p] = 0;
    for (int a = 0; a < 3; ++a)
      code[p] |= spread_bits(static_cast<std::uint64_t>((points[3 * p + a] - low[a]) * to_code)) << a;
  }
  std::vector<std::int64_t> order(count);
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    sparse_poll();
    return code[a] != code[b] ? code[a] < code[b] : a < b;
  });
  // Stretch d is [d count / drop, (d + 1) count / drop), not empty because drop <= count.
  constexpr std::uint64_t kThinStream = 3;  // streams 0 to 2 are the jitter
  for (std::int64_t d = 0; d < drop; ++d) {
    sparse_poll();
    const std::int64_t begin = d * count / drop, end = (d + 1) * count / drop;
    const double u = random_uniform(seed, static_cast<std::uint64_t>(d), kThinStream);
    keep_flags[order[begin + static_cast<std::int64_t>(u * static_cast<double>(end - begin))]] = 0;
  }
}

}  // namespace diffmpm::geometry
