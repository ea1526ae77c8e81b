// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/surface/fit.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "block_grid.hpp"
#include "diffmpm/core/memory.hpp"
#include "diffmpm/core/parallel.hpp"
#include "diffmpm/geometry/neighbours.hpp"
#include "diffmpm/math/mat3.hpp"
#include "diffmpm/surface/kernel.hpp"

namespace diffmpm::surface {
namespace {

// Radius of the density kernel, in spacings: a sheet of one layer still fills more than half of it.
constexpr double kRadius = 2.0;
// Least radius on coarse grids, in cells.
constexpr double kCellsPerRadius = 2.0;
// Weight of the fill estimated from the asymmetry of the neighbourhood, which does not depend on the density: stretched material
// does not vanish. The other part, the density itself, keeps surfaces that face each other apart.
constexpr float kAsymmetryWeight = 0.4F;
constexpr float kMostFill = 1.2F;  // of the density
// The mean fill at a boundary is lower than one half by kLevelOffset, and by kLevelByNoise times the root of the mean squared asymmetry
// inside of the body, which measures the noise of the positions: the mean deviation is then zero for even particles, where the root is
// 0.01, and for jittered ones, where it is 0.062.
constexpr double kLevelOffset = 0.012, kLevelByNoise = 0.3;
constexpr float kInside = 0.01F;   // above the level, of nodes that become part of the body
constexpr int kAsymmetries = 512;  // entries of the table of fill by asymmetry
// Density and squared asymmetry of the nodes that count as inside of the body, and the weight in nodes of the nominal density and of
// the noise of jittered particles.
constexpr float kDeepFill = 0.7F, kDeepSquare = 0.01F;
constexpr double kFewNodes = 64;
constexpr double kTangential =
    2.0 / 3.0;                   // part of the noise of the asymmetry along the surface, which only increases it
constexpr int kFillRounds = 16;  // most rounds that remove ambiguous faces
// The kernel moves a surface of mean curvature H inwards by R^2 H / 11. On a mesh of squares of edge a the mean of the neighbours is
// H a^2 / 2 away.
constexpr double kBlur = 2.0 / 11.0;
// At edges, where the curvature is not small, it moves it farther, by the factor min(1 + kEdgeBlur (R H)^2, kMostBlur). Larger values
// reduce the deviation at edges but inflate small spheres and rods of two spacings.
constexpr float kEdgeBlur = 9.4F, kMostBlur = 2;
constexpr double kCurvatureSteps = 0.75;  // of smoothing before H is measured, for a radius of one cell, as above
// Factors of the steps that even out the mesh; the second one restores the volume (Taubin 1995).
constexpr float kShrink = 0.5F, kGrow = -0.53F;
constexpr int kEvenRounds = 3;
constexpr double kStepsPerSquare = 2;  // steps of smoothing for a radius of one cell; they grow with its square
// Squared asymmetry inside of the body, caused by noise, below which no smoothing is needed, and from which the radius of smoothing is
// that of the options: jittered particles. Bodies evened out by `sample` have 0.0001 to 0.0005.
constexpr double kLeastNoise = 0.0006, kFullNoise = 0.0042;
// Cosine between normals above which a neighbour counts, so that edges stay sharp; and in the last steps, which soften edges over a
// cell, where the grid would make them jagged.
constexpr float kLeastAgreement = 0.9F, kLeastFinalAgreement = 0;
constexpr int kFinalRounds = 6, kFinalSteps = 4;
constexpr float kNormalStep = 0.8F, kFollowStep = 0.8F, kAnchor = 0.005F;
constexpr float kFarthestShift = 0.9F;  // of a vertex, in spacings; a larger shift is not noise
constexpr double kSpacingError =
    0.06;  // of a measured spacing, above which the surface is fitted again with a better one
constexpr std::int32_t kFewVertices = 24;
constexpr int kColorSteps = 4;
constexpr int kNone = -1;

struct Fields {
  Buffer<float> fill,
      color;       // (blocks, nodes): fill minus level; and weight and three weighted colours (4, blocks, nodes)
  double noise;    // mean squared asymmetry inside of the body
  float level;     // fill at the surface
  double spacing;  // of the particles inside of the body, relative to the assumed one
};

const std::vector<float>& fill_table() {
  static const std::vector<float> table = [] {
    std::vector<float> values(kAsymmetries + 2);
    for (int n = 0; n <= kAsymmetries; ++n)
      values[n] = static_cast<float>(fill_of_asymmetry(static_cast<double>(n) / kAsymmetries));
    values[kAsymmetries + 1] = values[kAsymmetries];
    return values;
  }();
  return table;
}

float fill_by_asymmetry(const std::vector<float>& table, float a) {
  const float at = std::min(a, 1.0F) * kAsymmetries;
  const int n = static_cast<int>(at);
  return table[n] + (at - static_cast<float>(n)) * (table[n + 1] - table[n]);
}

constexpr int kChannels = 8;  // weight, weighted position (3), weighted colour (3), unused

// Adds the particles near a block to the sums at its nodes.
void scatter(const BlockGrid& grid, std::int64_t block, float reach, const float* colors, float* sums) {
  std::fill(sums, sums + kChannels * kBlockNodes, 0.0F);
  const float squared = reach * reach, inverse = 1 / squared;
  grid.visit_near(block, [&](const BlockGrid::Particle& particle, int a, int b, int c) {
    const float x = particle.x + static_cast<float>(kBlock * a), y = particle.y + static_cast<float>(kBlock * b),
                z = particle.z + static_cast<float>(kBlock * c);
    constexpr float kLast = kBlock - 1;
    const float i0 = std::max(0.0F, std::ceil(x - reach)), i1 = std::min(kLast, std::floor(x + reach));
    const float j0 = std::max(0.0F, std::ceil(y - reach)), j1 = std::min(kLast, std::floor(y + reach));
    const float k0 = std::max(0.0F, std::ceil(z - reach)), k1 = std::min(kLast, std::floor(z + reach));
    if (i0 > i1 || j0 > j1 || k0 > k1) return;
    float value[kChannels] = {1, x, y, z, 0, 0, 0, 0};
    if (colors)
      for (int r = 0; r < 3; ++r) value[4 + r] = colors[3 * std::int64_t{particle.index} + r];
    for (float i = i0; i <= i1; ++i) {
      const float dx2 = (x - i) * (x - i);
      for (float j = j0; j <= j1; ++j) {
        const float rest = squared - dx2 - (y - j) * (y - j);
        if (!(rest > 0)) continue;
        float* row = sums + kChannels * node_of(static_cast<int>(i), static_cast<int>(j), 0);
        for (float k = k0; k <= k1; ++k) {
          const float v = (rest - (z - k) * (z - k)) * inverse;
          if (!(v > 0)) continue;
          const float w = v * v * v;
          float* to = row + kChannels * static_cast<int>(k);
          for (int n = 0; n < kChannels; ++n) to[n] += w * value[n];
        }
      }
    }
  });
}

// Sums over nodes inside of the body.
struct Inside {
  double fill = 0, square = 0, count = 0;  // density, squared asymmetry, nodes

  void add(double node_fill, double node_square, double weight = 1) {
    fill += weight * node_fill, square += weight * node_square, count += weight;
  }
};

// Density and noise inside of the body. Nodes count if the density there and at `step` nodes to both sides along each axis is that of
// the inside. Without the second condition many of them would be so close to the surface that the kernel reaches out of the body, with
// a lower density and an asymmetry that is not noise. In bodies too thin for such nodes the others count.
Inside measure_inside(const BlockGrid& grid, int step, const float* fill, const float* squares) {
  Inside any, deep;
  any.add(1, kFullNoise, kFewNodes);
  for (std::int64_t block = 0; block < grid.size(); ++block) {
    // Density at offset `by` along the axis with `stride` from a node at coordinate c.
    const auto full = [&](int n, int c, int axis, int stride, int by) {
      const int side = c + by < 0 ? -1 : (c + by >= kBlock ? 1 : 0);
      const std::int64_t at =
          side == 0 ? block : grid.neighbour(block, axis == 0 ? side : 0, axis == 1 ? side : 0, axis == 2 ? side : 0);
      return at >= 0 && fill[at * kBlockNodes + n + (by - kBlock * side) * stride] > kDeepFill;
    };
    for (int i = 0; i < kBlock; ++i)
      for (int j = 0; j < kBlock; ++j)
        for (int k = 0; k < kBlock; ++k) {
          const int n = node_of(i, j, k);
          const float value = fill[block * kBlockNodes + n], square = squares[block * kBlockNodes + n];
          if (!(value > kDeepFill && square < kDeepSquare)) continue;
          any.add(value, square);
          bool surrounded = true;
          for (const int by : {-step, step})
            surrounded =
                surrounded && full(n, i, 0, kBlock * kBlock, by) && full(n, j, 1, kBlock, by) && full(n, k, 2, 1, by);
          if (surrounded) deep.add(value, square);
        }
  }
  deep.add(any.fill / any.count, any.square / any.count, kFewNodes);
  return deep;
}

// Fill fraction minus the level, and sums of weights and colours.
Fields fill_fields(const BlockGrid& grid, double spacing, double radius, const float* colors) {
  const std::int64_t blocks = grid.size(), nodes = blocks * kBlockNodes;
  Fields f{Buffer<float>(nodes), Buffer<float>(colors ? 4 * nodes : 0), 0, 0, 1};
  const Buffer<float> squares(nodes);  // of the asymmetry
  const auto reach = static_cast<float>(radius / grid.cell());
  const double ratio = spacing / radius;
  const auto volume = static_cast<float>(kDensityScale * ratio * ratio * ratio);
  const float inverse = 1 / (reach * reach);
  parallel_for_with(
      blocks, 1, thread_count(), [] { return std::vector<float>(kChannels * kBlockNodes); },
      [&](std::vector<float>& sums, std::int64_t block) {
        scatter(grid, block, reach, colors, sums.data());
        for (int i = 0; i < kBlock; ++i)
          for (int j = 0; j < kBlock; ++j)
            for (int k = 0; k < kBlock; ++k) {
              const int n = node_of(i, j, k);
              const float* s = sums.data() + kChannels * n;
              const std::int64_t to = block * kBlockNodes + n;
              const float w = s[0], dx = s[1] - w * static_cast<float>(i), dy = s[2] - w * static_cast<float>(j),
                          dz = s[3] - w * static_cast<float>(k);
              f.fill.data()[to] = volume * w;
              squares.data()[to] = w > 0 ? (dx * dx + dy * dy + dz * dz) / (w * w) * inverse : 1.0F;
              if (!colors) continue;
              f.color.data()[to] = w;
              for (int r = 0; r < 3; ++r) f.color.data()[(r + 1) * nodes + to] = s[4 + r];
            }
      });
  // Inside of the body the density should be one, and the asymmetry is noise.
  const int step = std::clamp(static_cast<int>(std::lround(reach / 2)), 1, kBlock);
  const Inside inside = measure_inside(grid, step, f.fill.data(), squares.data());
  f.noise = inside.square / inside.count, f.spacing = std::cbrt(inside.count / inside.fill);
  f.level = static_cast<float>(0.5 - kLevelOffset - kLevelByNoise * std::sqrt(f.noise));
  const auto scale = static_cast<float>(inside.count / inside.fill);
  const auto tangential = static_cast<float>(kTangential * f.noise);
  const std::vector<float>& table = fill_table();
  parallel_for(nodes, 4096, [&](std::int64_t n) {
    float& fill = f.fill.data()[n];
    const float symmetric = fill_by_asymmetry(table, std::sqrt(std::max(0.0F, squares.data()[n] - tangential)));
    fill = kAsymmetryWeight * symmetric + (1 - kAsymmetryWeight) * std::min(scale * fill, kMostFill) - f.level;
  });
  return f;
}

// Blocks whose cells the surface crosses.
std::vector<std::int64_t> crossed_blocks(const BlockGrid& grid, const float* fill) {
  std::vector<std::uint8_t> signs(grid.size());  // 1: a node outside, 2: a node inside
  parallel_for(grid.size(), 16, [&](std::int64_t block) {
    const float* f = fill + block * kBlockNodes;
    for (int n = 0; n < kBlockNodes; ++n) signs[block] |= f[n] > 0 ? 2 : 1;
  });
  std::vector<std::int64_t> crossed;
  for (std::int64_t block = 0; block < grid.size(); ++block) {
    int around = 0;
    for (int i = 0; i <= 1; ++i)
      for (int j = 0; j <= 1; ++j)
        for (int k = 0; k <= 1; ++k) {
          const std::int32_t b = grid.neighbour(block, i, j, k);
          around |= b < 0 ? 1 : signs[b];
        }
    if (around == 3) crossed.push_back(block);
  }
  return crossed;
}

// Calls visit(n, tile) with the values of blocks[n] and of the nodes next to it.
template <class Visit>
void for_each_tile(const BlockGrid& grid, const float* values, const std::vector<std::int64_t>& blocks, float outside,
                   const Visit& visit) {
  parallel_for_with(
      static_cast<std::int64_t>(blocks.size()), 4, thread_count(),
      [] { return std::vector<float>(kTile * kTile * kTile); },
      [&](std::vector<float>& tile, std::int64_t n) {
        grid.load(values, blocks[n], outside, tile.data());
        visit(n, tile.data());
      });
}

// Whether the outside node at t is the one to fill on a face with inside nodes at two opposite corners: offsets a and b of its edges.
bool ambiguous(const float* t, int a, int b) {
  return t[a] > 0 && t[b] > 0 && !(t[a + b] > 0) && (t[0] > t[a + b] || (t[0] == t[a + b] && a + b > 0));
}

// Adds nodes to the body until no face of a cell has inside nodes only at opposite corners, so that the mesh is a manifold.
void remove_ambiguous(const BlockGrid& grid, const std::vector<std::int64_t>& crossed, float outside, float* fill) {
  constexpr int kStride[3] = {kTile * kTile, kTile, 1};
  std::vector<std::int64_t> blocks;  // crossed blocks and their neighbours
  std::vector<std::uint8_t> selected(grid.size());
  for (const std::int64_t block : crossed)
    for (int n = 0; n < 27; ++n) {
      const std::int32_t b = grid.neighbour(block, n / 9 - 1, n / 3 % 3 - 1, n % 3 - 1);
      if (b >= 0 && !selected[b]) selected[b] = 1, blocks.push_back(b);
    }
  std::vector<std::vector<std::int16_t>> added(blocks.size());
  for (int round = 0; round < kFillRounds; ++round) {
    for_each_tile(grid, fill, blocks, outside, [&](std::int64_t n, const float* tile) {
      added[n].clear();
      for (int i = 0; i < kBlock; ++i)
        for (int j = 0; j < kBlock; ++j)
          for (int k = 0; k < kBlock; ++k) {
            const float* t = tile + tile_node(i, j, k);
            if (*t > 0) continue;
            bool fill_it = false;
            for (int u = 0; u < 3; ++u)
              for (int v = u + 1; v < 3; ++v)
                for (const int su : {-1, 1})
                  for (const int sv : {-1, 1}) fill_it = fill_it || ambiguous(t, su * kStride[u], sv * kStride[v]);
            if (fill_it) added[n].push_back(static_cast<std::int16_t>(node_of(i, j, k)));
          }
    });
    bool any = false;
    for (std::size_t n = 0; n < blocks.size(); ++n)
      for (const std::int16_t node : added[n]) fill[blocks[n] * kBlockNodes + node] = kInside, any = true;
    if (!any) return;
  }
}

// Corners of a cell: bit 4 a + 2 b + c is that at offset (a, b, c).
struct Cell {
  float value[8];
  int inside = 0;
  bool crossed() const { return inside != 0 && inside != 255; }
};

Cell cell_at(const float* tile, int i, int j, int k) {
  Cell cell;
  for (int n = 0; n < 8; ++n) {
    cell.value[n] = tile[tile_node(i + n / 4, j + n / 2 % 2, k + n % 2)];
    if (cell.value[n] > 0) cell.inside |= 1 << n;
  }
  return cell;
}

// Mean of the crossings of the edges of a cell, in cells from its first corner.
void crossing(const Cell& cell, float* at) {
  float sum[3] = {0, 0, 0}, count = 0;
  for (int axis = 0; axis < 3; ++axis) {
    const int step = 4 >> axis;
    for (int n = 0; n < 8; ++n) {
      if (n & step || ((cell.inside >> n & 1) == (cell.inside >> (n | step) & 1))) continue;
      const float t = cell.value[n] / (cell.value[n] - cell.value[n | step]);
      const float point[3] = {static_cast<float>(n / 4), static_cast<float>(n / 2 % 2), static_cast<float>(n % 2)};
      for (int r = 0; r < 3; ++r) sum[r] += r == axis ? t : point[r];
      ++count;
    }
  }
  for (int r = 0; r < 3; ++r) at[r] = sum[r] / count;
}

using Vec = Vec3<float>;
using Neighbours = std::array<std::int32_t, 6>;

// The dual mesh of the grid: one vertex per crossed cell, one quadrilateral per crossed edge ("surface nets", Gibson 1998).
struct Net {
  std::vector<Vec> vertices;           // in cells from the origin
  std::vector<Neighbours> neighbours;  // along the edges of quadrilaterals; kNone where there is no edge
  std::vector<Vec> colors;
  std::vector<std::array<std::int32_t, 4>> quads;
};

class Extraction {
 public:
  Extraction(const BlockGrid& grid, const Fields& fields, const std::vector<std::int64_t>& crossed)
      : grid_(grid),
        fields_(fields),
        crossed_(crossed),
        rank_(grid.size(), kNone),
        cells_(crossed.size() * kBlockNodes, kNone) {
    for (std::size_t n = 0; n < crossed.size(); ++n) rank_[crossed[n]] = static_cast<std::int32_t>(n);
  }

  Net run() {
    Net net;
    std::vector<std::int64_t> vertex(crossed_.size() + 1), quad(crossed_.size() + 1);
    for_each_crossed([&](std::int64_t n, const float* tile) { count(n, tile, vertex[n + 1], quad[n + 1]); });
    for (std::size_t n = 0; n < crossed_.size(); ++n) vertex[n + 1] += vertex[n], quad[n + 1] += quad[n];
    if (vertex.back() > std::numeric_limits<std::int32_t>::max())
      throw std::invalid_argument(
          "x: expected a surface of at most 2^31 vertices, got a larger one; pass a larger cell");
    net.vertices.resize(vertex.back()), net.neighbours.resize(vertex.back()), net.quads.resize(quad.back());
    if (fields_.color.size() > 0) net.colors.resize(vertex.back());
    for (std::size_t n = 0; n < crossed_.size(); ++n)
      for (int c = 0; c < kBlockNodes; ++c) {
        std::int32_t& id = cells_[n * kBlockNodes + c];
        if (id != kNone) id += static_cast<std::int32_t>(vertex[n]);
      }
    for_each_crossed([&](std::int64_t n, const float* tile) { emit(n, tile, quad[n], net); });
    return net;
  }

 private:
  template <class Visit>
  void for_each_crossed(const Visit& visit) const {
    for_each_tile(grid_, fields_.fill.data(), crossed_, -fields_.level, visit);
  }

  void count(std::int64_t n, const float* tile, std::int64_t& vertices, std::int64_t& quads) {
    std::int64_t cells = 0, edges = 0;
    for (int i = 0; i < kBlock; ++i)
      for (int j = 0; j < kBlock; ++j)
        for (int k = 0; k < kBlock; ++k) {
          const Cell cell = cell_at(tile, i, j, k);
          if (!cell.crossed()) continue;
          cells_[n * kBlockNodes + node_of(i, j, k)] = static_cast<std::int32_t>(cells++);
          for (const int axis : {4, 2, 1}) edges += (cell.inside & 1) != (cell.inside >> axis & 1);
        }
    vertices = cells, quads = edges;
  }

  // Vertex of the cell (i, j, k) of a block, with -1 <= i, j, k <= kBlock.
  std::int32_t vertex(std::int64_t block, int i, int j, int k) const {
    const auto side = [](int& c) {
      const int s = c < 0 ? -1 : (c >= kBlock ? 1 : 0);
      c -= kBlock * s;
      return s;
    };
    const int a = side(i), b = side(j), c = side(k);
    const std::int32_t at = grid_.neighbour(block, a, b, c);
    return at < 0 || rank_[at] < 0 ? kNone : cells_[rank_[at] * std::int64_t{kBlockNodes} + node_of(i, j, k)];
  }

  void emit(std::int64_t n, const float* tile, std::int64_t quad, Net& net) const {
    // Corners of the faces of a cell at the low and the high side of each axis.
    constexpr int kFaces[6] = {0x0F, 0xF0, 0x33, 0xCC, 0x55, 0xAA};
    const std::int64_t block = crossed_[n];
    const std::array<std::int64_t, 3> corner = grid_.corner(block);
    for (int i = 0; i < kBlock; ++i)
      for (int j = 0; j < kBlock; ++j)
        for (int k = 0; k < kBlock; ++k) {
          const std::int32_t id = cells_[n * kBlockNodes + node_of(i, j, k)];
          if (id == kNone) continue;
          const Cell cell = cell_at(tile, i, j, k);
          float at[3];
          crossing(cell, at);
          if (fields_.color.size() > 0) blend(block, i, j, k, at, net.colors[id].c);
          const int own[3] = {i, j, k};
          for (int r = 0; r < 3; ++r) net.vertices[id][r] = static_cast<float>(corner[r] + own[r]) + at[r];
          for (int face = 0; face < 6; ++face) {
            const int inside = cell.inside & kFaces[face], side = face % 2 ? 1 : -1, axis = face / 2;
            net.neighbours[id][face] =
                inside == 0 || inside == kFaces[face]
                    ? kNone
                    : vertex(block, i + (axis == 0 ? side : 0), j + (axis == 1 ? side : 0), k + (axis == 2 ? side : 0));
          }
          for (int axis = 0; axis < 3; ++axis) {
            const bool first = cell.inside & 1, second = cell.inside >> (4 >> axis) & 1;
            if (first == second) continue;
            // The four cells around the edge, counter-clockwise seen from its end.
            const int u = (axis + 1) % 3, v = (axis + 2) % 3;
            std::array<std::int32_t, 4> corners;
            for (int c = 0; c < 4; ++c) {
              int of[3] = {i, j, k};
              of[u] -= c == 0 || c == 3, of[v] -= c < 2;
              corners[c] = vertex(block, of[0], of[1], of[2]);
            }
            if (!first) std::swap(corners[1], corners[3]);
            net.quads[quad++] = corners;
          }
        }
  }

  // Colour at a point of a cell.
  void blend(std::int64_t block, int i, int j, int k, const float* at, float* color) const {
    const std::int64_t nodes = grid_.size() * kBlockNodes;
    float sum[4] = {0, 0, 0, 0};
    for (int n = 0; n < 8; ++n) {
      const int a = i + n / 4, b = j + n / 2 % 2, c = k + n % 2;
      const std::int32_t from = grid_.neighbour(block, a / kBlock, b / kBlock, c / kBlock);
      if (from < 0) continue;
      const float weight = (n / 4 ? at[0] : 1 - at[0]) * (n / 2 % 2 ? at[1] : 1 - at[1]) * (n % 2 ? at[2] : 1 - at[2]);
      const float* value =
          fields_.color.data() + from * std::int64_t{kBlockNodes} + node_of(a % kBlock, b % kBlock, c % kBlock);
      for (int r = 0; r < 4; ++r) sum[r] += weight * value[r * nodes];
    }
    for (int r = 0; r < 3; ++r) color[r] = sum[0] > 0 ? sum[r + 1] / sum[0] : 0;
  }

  const BlockGrid& grid_;
  const Fields& fields_;
  const std::vector<std::int64_t>& crossed_;
  std::vector<std::int32_t> rank_, cells_;
};

// Drops parts of fewer than kFewVertices vertices, which are made by two or three particles, unless no part is larger.
void drop_crumbs(Net& net) {
  const std::size_t count = net.vertices.size();
  std::vector<std::int32_t> part(count, kNone), sizes, stack;
  for (std::size_t first = 0; first < count; ++first) {
    if (part[first] != kNone) continue;
    const auto own = static_cast<std::int32_t>(sizes.size());
    sizes.push_back(0);
    part[first] = own, stack.push_back(static_cast<std::int32_t>(first));
    while (!stack.empty()) {
      const std::int32_t v = stack.back();
      stack.pop_back();
      ++sizes[own];
      for (const std::int32_t n : net.neighbours[v])
        if (n != kNone && part[n] == kNone) part[n] = own, stack.push_back(n);
    }
  }
  const std::int32_t least = std::min(kFewVertices, *std::max_element(sizes.begin(), sizes.end()));
  if (*std::min_element(sizes.begin(), sizes.end()) >= least) return;
  std::vector<std::int32_t> renumbered(count, kNone);
  std::int32_t next = 0;
  for (std::size_t v = 0; v < count; ++v)
    if (sizes[part[v]] >= least) {
      renumbered[v] = next;
      net.vertices[next] = net.vertices[v], net.neighbours[next] = net.neighbours[v];
      if (!net.colors.empty()) net.colors[next] = net.colors[v];
      ++next;
    }
  net.vertices.resize(next), net.neighbours.resize(next);
  if (!net.colors.empty()) net.colors.resize(next);
  for (auto& neighbours : net.neighbours)
    for (std::int32_t& n : neighbours)
      if (n != kNone) n = renumbered[n];
  std::erase_if(net.quads, [&](const auto& quad) { return renumbered[quad[0]] == kNone; });
  for (auto& quad : net.quads)
    for (std::int32_t& v : quad) v = renumbered[v];
}

// One step of smoothing: values move by `factor` towards the mean of their neighbours.
void smooth(const std::vector<Neighbours>& neighbours, float factor, const std::vector<Vec>& from,
            std::vector<Vec>& to) {
  parallel_for(static_cast<std::int64_t>(from.size()), 1024, [&](std::int64_t v) {
    Vec sum = Vec::zero();
    float count = 0;
    for (const std::int32_t n : neighbours[v]) {
      if (n == kNone) continue;
      sum += from[n];
      ++count;
    }
    for (int r = 0; r < 3; ++r) to[v][r] = count > 0 ? from[v][r] + factor * (sum[r] / count - from[v][r]) : from[v][r];
  });
}

void normalize(Vec& a) {
  const float size = std::sqrt(dot(a, a));
  if (size > 0)
    for (float& c : a.c) c /= size;
  else
    a = {{0, 0, 1}};
}

std::vector<Vec> normals_of(const Net& net) {
  std::vector<Vec> normals(net.vertices.size(), Vec::zero());
  for (const auto& quad : net.quads) {
    const Vec a = net.vertices[quad[2]] - net.vertices[quad[0]], b = net.vertices[quad[3]] - net.vertices[quad[1]];
    const Vec n = {{a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]}};
    for (const std::int32_t v : quad) normals[v] += n;
  }
  for (Vec& n : normals) normalize(n);
  return normals;
}

// Moves the vertices towards the mean of their neighbours and back.
void even_out(Net& net, int rounds) {
  std::vector<Vec> next(net.vertices.size());
  for (int round = 0; round < rounds; ++round) {
    smooth(net.neighbours, kShrink, net.vertices, next);
    smooth(net.neighbours, kGrow, next, net.vertices);
  }
}

// Moves the vertices outwards where the kernel of the given radius, in cells, has moved the surface inwards. The distances from the
// mean of the neighbours, which are proportional to the curvature, are taken from a smoothed mesh, so that noise does not grow.
void restore_curvature(Net& net, double radius) {
  std::vector<Vec> smoothed = net.vertices, mean(smoothed.size());
  const double square = radius * radius;
  const int steps = std::max(1, static_cast<int>(std::lround(kCurvatureSteps * square)));
  for (int step = 0; step < steps; ++step) smooth(net.neighbours, kShrink, smoothed, mean), smoothed.swap(mean);
  smooth(net.neighbours, 1, smoothed, mean);
  const auto blur = static_cast<float>(kBlur * square), edge_blur = static_cast<float>(4 * square) * kEdgeBlur;
  parallel_for(static_cast<std::int64_t>(mean.size()), 1024, [&](std::int64_t v) {
    const Vec bend = mean[v] - smoothed[v];
    const float factor = blur * std::min(1 + edge_blur * dot(bend, bend), kMostBlur);
    net.vertices[v] -= factor * bend;
  });
}

// Smooths normals by means over neighbours whose normals agree: by more than the cosine `least`.
void smooth_normals(const Net& net, int steps, float least, std::vector<Vec>& normals) {
  const float scale = 1 / ((1 - least) * (1 - least));
  std::vector<Vec> next(normals.size());
  for (int step = 0; step < steps; ++step) {
    parallel_for(static_cast<std::int64_t>(normals.size()), 512, [&](std::int64_t v) {
      const Vec& own = normals[v];
      Vec sum = Vec::zero();
      float total = 0;
      for (const std::int32_t n : net.neighbours[v]) {
        if (n == kNone) continue;
        ++total;
        const float agreement = dot(own, normals[n]) - least;
        if (!(agreement > 0)) continue;
        const float weight = scale * agreement * agreement;
        sum += weight * (normals[n] - own);
      }
      next[v] = own;
      if (!(total > 0)) return;
      for (int r = 0; r < 3; ++r) next[v][r] += kNormalStep * sum[r] / total;
      normalize(next[v]);
    });
    normals.swap(next);
  }
}

// Moves vertices along their normals until edges are perpendicular to the normals of their ends.
void follow_normals(Net& net, const std::vector<Vec>& normals, int steps, float most) {
  const std::vector<Vec> start = net.vertices;
  std::vector<Vec> next(start.size());
  for (int step = 0; step < steps; ++step) {
    parallel_for(static_cast<std::int64_t>(start.size()), 512, [&](std::int64_t v) {
      const Vec &x = net.vertices[v], &own = normals[v];
      float height = 0, count = 0;
      for (const std::int32_t n : net.neighbours[v]) {
        if (n == kNone) continue;
        const Vec edge = net.vertices[n] - x;
        height += 0.5F * (dot(edge, own) + dot(edge, normals[n]));
        ++count;
      }
      next[v] = x;
      if (!(count > 0)) return;
      const float back = dot(own, start[v]) - dot(own, x);
      const float move = kFollowStep * height / count + kAnchor * back;
      const Vec shift = x + move * own - start[v];
      const float size = std::sqrt(dot(shift, shift)), scale = size > most ? most / size : 1.0F;
      next[v] = start[v] + scale * shift;
    });
    net.vertices.swap(next);
  }
}

FittedSurface surface_of(const BlockGrid& grid, const Fields& fields, double radius, const FitParams& params) {
  std::vector<std::int64_t> crossed = crossed_blocks(grid, fields.fill.data());
  remove_ambiguous(grid, crossed, -fields.level, fields.fill.data());
  crossed = crossed_blocks(grid, fields.fill.data());
  Net net = Extraction(grid, fields, crossed).run();
  if (net.vertices.empty())
    throw std::invalid_argument("x: expected particles that fill a solid, got none with a surface around them");
  drop_crumbs(net);
  const double cells = params.smoothing / params.cell;
  const double noise = std::clamp((fields.noise - kLeastNoise) / (kFullNoise - kLeastNoise), 0.0, 1.0);
  const auto steps = static_cast<int>(std::lround(kStepsPerSquare * cells * cells * noise * std::sqrt(noise)));
  even_out(net, kEvenRounds);
  std::vector<Vec> normals = normals_of(net);
  smooth_normals(net, steps, kLeastAgreement, normals);
  follow_normals(net, normals, steps, kFarthestShift / static_cast<float>(params.cell));
  restore_curvature(net, radius / grid.cell());
  even_out(net, kFinalRounds);
  normals = normals_of(net);
  smooth_normals(net, kFinalSteps, kLeastFinalAgreement, normals);
  std::vector<Vec> other(net.colors.size());
  for (int step = 0; step < kColorSteps && !net.colors.empty(); ++step) {
    smooth(net.neighbours, kShrink, net.colors, other);
    net.colors.swap(other);
  }
  FittedSurface out;
  out.normals.resize(3 * normals.size());
  for (std::size_t v = 0; v < normals.size(); ++v) std::copy_n(normals[v].c, 3, out.normals.data() + 3 * v);
  out.vertices.resize(3 * net.vertices.size());
  for (std::size_t v = 0; v < net.vertices.size(); ++v)
    for (int r = 0; r < 3; ++r)
      out.vertices[3 * v + r] = grid.origin()[r] + grid.cell() * static_cast<double>(net.vertices[v][r]);
  out.colors.resize(3 * net.colors.size());
  for (std::size_t v = 0; v < net.colors.size(); ++v) std::copy_n(net.colors[v].c, 3, out.colors.data() + 3 * v);
  out.quads = std::move(net.quads);
  return out;
}

}  // namespace

FittedSurface fit(const double* x, std::int64_t count, const float* colors, const FitParams& params) {
  bool measured = !(params.spacing > 0);
  double spacing = measured ? geometry::mean_spacing(x, count) : params.spacing;
  if (!(spacing > 0))
    throw std::invalid_argument(
        "x: expected at least two particles apart from each other to measure their spacing, got none; pass the "
        "spacing");
  for (;;) {
    const double cell = params.cell * spacing, radius = std::max(kRadius * spacing, kCellsPerRadius * cell);
    const BlockGrid grid(x, count, cell, radius / cell);
    const Fields fields = fill_fields(grid, spacing, radius, colors);
    // The distances of neighbours tell the spacing of even particles to 16 %, the density inside of the body to 1 %.
    if (measured) spacing *= fields.spacing;
    if (measured && std::abs(fields.spacing - 1) > kSpacingError) {
      measured = false;
      continue;
    }
    FittedSurface surface = surface_of(grid, fields, radius, params);
    surface.spacing = spacing;
    return surface;
  }
}

}  // namespace diffmpm::surface
