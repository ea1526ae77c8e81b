// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "core/block.cuh"
#include "mpm/step_view.cuh"

// Transfers between the particles of a chunk and its tile in shared memory. Gathers: one thread per particle. Scatters: each warp
// has its own tile and a contiguous part of the particles, which it processes one by one; its lanes are the nodes of a stencil.
// Contributions of the particles of a cell are summed in registers and added to the tile once. No two threads write one value, and
// every sum has a fixed order.

namespace diffmpm::cuda {

// Channels of a node, moved together in accesses of 16 bytes where there are four of them.
template <class T, int N>
struct alignas(N == 4 ? 16 : alignof(T)) Node {
  T at[N];
};

// Nodes of a tile.
template <class T, Basis B, int N>
struct Tile {
  Node<T, N> nodes[TileShape<B>::kNodes];
};

// Weights of a particle, and its position in the tile.
template <class T, Basis B>
struct Stencil {
  static constexpr int kNodes = BSpline<B>::kNodes;
  T w[3][kNodes], dw[3][kNodes];
  Vec3<T> e;
  int corner;  // node of the tile

  DIFFMPM_HD Stencil(const StepConstants<T>& c, const Index (&block)[3], const Vec3<T>& x) {
    int at[3];
    DIFFMPM_UNROLL
    for (int r = 0; r < 3; ++r) {
      T first;
      locate_in_tile<B>(grid_coordinate(c, x[r], r), block[r], first, e[r]);
      BSpline<B>::weights(e[r], w[r], dw[r]);
      at[r] = static_cast<int>(first);
    }
    corner = node(at[0], at[1], at[2]);
  }
  static DIFFMPM_HD int node(int i, int j, int k) { return (i * TileShape<B>::kEdge + j) * TileShape<B>::kDepth + k; }
};

// Values at the nodes of a stencil, a from -1: base + a_x slope[0] + a_y slope[1] + a_z slope[2], channel by channel.
template <class T, int N>
struct Affine {
  T base[N], slope[3][N];

  // Momentum, or cotangents, b + A d in the last three channels; a fourth, first one is constant.
  DIFFMPM_HD Affine(const StepConstants<T>& c, const Vec3<T>& e, T first, const Vec3<T>& b, const Mat3<T>& A) {
    Vec3<T> at;
    Mat3<T> D;
    affine_at_center(c, e, b, A, at, D);
    if (N == 4) base[0] = first, slope[0][0] = slope[1][0] = slope[2][0] = T(0);
    DIFFMPM_UNROLL
    for (int r = 0; r < 3; ++r) {
      base[N - 3 + r] = at[r];
      for (int s = 0; s < 3; ++s) slope[s][N - 3 + r] = D(r, s);
    }
  }
};

// Values that a particle scatters. Rows have 20 values, so lanes that write 16 bytes each use different banks.
template <class T, int N>
struct alignas(16) StagedParticle {
  T base[N], slope[3][3], e[3];
  int corner;
  T padding[N == 4 ? 3 : 4];

  DIFFMPM_HD void put(const Vec3<T>& offset, int corner_node, const Affine<T, N>& q) {
    DIFFMPM_UNROLL
    for (int c = 0; c < N; ++c) base[c] = q.base[c];
    DIFFMPM_UNROLL
    for (int r = 0; r < 3; ++r) {
      e[r] = offset[r];
      for (int s = 0; s < 3; ++s) slope[r][s] = q.slope[r][N - 3 + s];
    }
    corner = corner_node;
  }
};

// Shared memory of a scatter: a tile per warp, and the particles that it scatters next. Float64 has half as many warps, because
// tiles are twice as large.
template <class T, Basis B, int N>
struct Scatter {
  static constexpr int kWarps = sizeof(T) == 4 ? 4 : 2;
  static constexpr int kBlockThreads = kWarps * kWarp;
  Tile<T, B, N> tile[kWarps];
  StagedParticle<T, N> staged[kWarps][kWarp + 1];  // the last row is read ahead only
};

// The nodes of a stencil that a lane handles, one or two along the first axis, and their weights.
template <class T, Basis B, int N>
class ScatterLane {
 public:
  explicit DIFFMPM_HD ScatterLane(int lane)
      : node_(lane < kLanesUsed ? lane : kLanesUsed - 1),
        used_(lane < kLanesUsed),
        i_(node_ / (S * S)),
        j_(node_ / S % S),
        k_(node_ % S),
        at_{T(i_ - 1), T(j_ - 1), T(k_ - 1)},
        weight_{Weight(i_), Weight(j_), Weight(k_)},
        second_(kTwo ? i_ + 2 : i_) {}

  // tile_i += w_i (value at i) for a run of particles of one cell, from `first` on; returns its end.
  DIFFMPM_HD int scatter(const StagedParticle<T, N>* staged, int first, int count, Tile<T, B, N>& tile) const {
    T sum[N]{}, more[N]{};
    StagedParticle<T, N> even = staged[first], odd;
    const int corner = even.corner;
    int p = first;
    for (;;) {  // loads the next particle while one is added
      odd = staged[++p];
      add(even, sum, more);
      if (p == count || odd.corner != corner) break;
      even = staged[++p];
      add(odd, sum, more);
      if (p == count || even.corner != corner) break;
    }
    if (used_) {
      const int at = corner + Stencil<T, B>::node(i_, j_, k_);
      add_to(tile.nodes[at], sum);
      if (kTwo) add_to(tile.nodes[at + Stencil<T, B>::node(2, 0, 0)], more);
    }
    return p;
  }

 private:
  static constexpr int S = BSpline<B>::kNodes;
  static constexpr bool kTwo = S * S * S > kWarp;
  static constexpr int kLanesUsed = kTwo ? S * S * S / 2 : S * S * S;
  using Weight = typename BSpline<B>::template NodeWeight<T>;

  DIFFMPM_HD void add(const StagedParticle<T, N>& s, T (&sum)[N], T (&more)[N]) const {
    const T row = weight_[1](s.e[1]) * weight_[2](s.e[2]), w = weight_[0](s.e[0]) * row;
    T value[N];
    DIFFMPM_UNROLL
    for (int c = 0; c < N; ++c) {
      const int r = c - (N - 3);
      value[c] = s.base[c];
      if (r >= 0)
        value[c] += at_[0] * s.slope[0][r], value[c] += at_[1] * s.slope[1][r], value[c] += at_[2] * s.slope[2][r];
      sum[c] += w * value[c];
    }
    if (!kTwo) return;
    const T w2 = second_(s.e[0]) * row;
    DIFFMPM_UNROLL
    for (int c = 0; c < N; ++c) {
      const int r = c - (N - 3);
      more[c] += w2 * (r >= 0 ? value[c] + T(2) * s.slope[0][r] : value[c]);
    }
  }
  static DIFFMPM_HD void add_to(Node<T, N>& node, const T (&sum)[N]) {
    Node<T, N> value = node;
    DIFFMPM_UNROLL
    for (int c = 0; c < N; ++c) value.at[c] += sum[c];
    node = value;
  }

  int node_;
  bool used_;
  int i_, j_, k_;
  T at_[3];
  Weight weight_[3], second_;
};

// Scatters the particles of a chunk. Thread t calls stage(t, m, row), which fills the row of particle m.
template <class Block, class T, Basis B, int N, class Stage>
DIFFMPM_HD void scatter_chunk(Block& block, const ParticleBlock& chunk, Scatter<T, B, N>& s, const Stage& stage) {
  constexpr int kWarps = Scatter<T, B, N>::kWarps;
  block.template for_all<kWarps * TileShape<B>::kNodes>([&](int n) {
    Node<T, N> zero{};
    s.tile[n / TileShape<B>::kNodes].nodes[n % TileShape<B>::kNodes] = zero;
  });
  // Whole groups per warp, for aligned accesses.
  const int part = (chunk.group_count + kWarps - 1) / kWarps * kLanes;
  block.for_each_warp([&](auto& warp) {
    const int w = warp.index(), behind = (w + 1) * part;
    const int end = behind < chunk.particle_count ? behind : chunk.particle_count;
    for (int first = w * part; first < end; first += kWarp) {
      const int count = end - first < kWarp ? end - first : kWarp;
      warp.for_each(count, [&](int lane) { stage(w * kWarp + lane, first + lane, s.staged[w][lane]); });
      for (int n = 0; n < count;)
        n = warp.for_lanes(
            [&](int lane) { return ScatterLane<T, B, N>(lane).scatter(s.staged[w], n, count, s.tile[w]); });
    }
  });
}

// Phase: write the sum of the warps' tiles as the last N channels of the chunk's tile in global memory, zeros in the others.
template <class Block, class T, Basis B, int N>
DIFFMPM_HD void store_tile(Block& block, const StepView<T>& a, const Scatter<T, B, N>& s) {
  Node<T, 4>* out = reinterpret_cast<Node<T, 4>*>(a.tiles + block.index() * TileShape<B>::kSize);
  block.template for_all<TileShape<B>::kNodes>([&](int n) {
    Node<T, 4> sum{};
    DIFFMPM_UNROLL
    for (int w = 0; w < Scatter<T, B, N>::kWarps; ++w) {
      const Node<T, N> part = s.tile[w].nodes[n];
      for (int c = 0; c < N; ++c) sum.at[4 - N + c] += part.at[c];
    }
    out[n] = sum;
  });
}

// Contribution of the nodes (i, j, k = 0, 1, ...) of a stencil to the moments.
template <class T, int N>
DIFFMPM_HD void add_row(T w, int i, int j, const T (&row)[N], const T (&row_z)[N], T (&sum)[N], Mat3<T>& M) {
  DIFFMPM_UNROLL
  for (int c = 0; c < N; ++c) {
    const T value = w * row[c];
    sum[c] += value;
    const int r = c - (N - 3);
    if (r < 0) continue;
    M(r, 0) += T(i - 1) * value, M(r, 1) += T(j - 1) * value, M(r, 2) += w * row_z[c];
  }
}

// Moments of the tile around one particle: sum[c] = sum w g and, of the last three channels, M(:, s) = sum w a_s g.
template <class T, Basis B, int N>
DIFFMPM_HD void gather(const Stencil<T, B>& st, const Tile<T, B, N>& tile, T (&sum)[N], Mat3<T>& M) {
  constexpr int S = BSpline<B>::kNodes;
  for (int c = 0; c < N; ++c) sum[c] = T(0);
  M = Mat3<T>::zero();
  DIFFMPM_UNROLL
  for (int i = 0; i < S; ++i) DIFFMPM_UNROLL
  for (int j = 0; j < S; ++j) {
    T row[N], row_z[N];
    DIFFMPM_UNROLL
    for (int k = 0; k < S; ++k) {
      const Node<T, N> node = tile.nodes[st.corner + Stencil<T, B>::node(i, j, k)];
      DIFFMPM_UNROLL
      for (int c = 0; c < N; ++c) {
        const T g = st.w[2][k] * node.at[c];
        row[c] = k == 0 ? g : row[c] + g;
        row_z[c] = k == 0 ? -g : row_z[c] + T(k - 1) * g;
      }
    }
    add_row(st.w[0][i] * st.w[1][j], i, j, row, row_z, sum, M);
  }
}

// Gradient of sum_i w_i (value at i) . g_i with respect to the position of the particle, through the weights. With kMoments the
// same pass over the nodes computes the moments of gather.
template <bool kMoments, class T, Basis B, int N>
DIFFMPM_HD Vec3<T> weights_gradient(const StepConstants<T>& c, const Stencil<T, B>& st, const Affine<T, N>& q,
                                    const Tile<T, B, N>& tile, T (&sum)[N], Mat3<T>& M) {
  constexpr int S = BSpline<B>::kNodes;
  Vec3<T> g = Vec3<T>::zero();
  if (kMoments) {
    for (int n = 0; n < N; ++n) sum[n] = T(0);
    M = Mat3<T>::zero();
  }
  DIFFMPM_UNROLL
  for (int i = 0; i < S; ++i) DIFFMPM_UNROLL
  for (int j = 0; j < S; ++j) {
    T at[N], row[N], row_z[N], inner = T(0), inner_z = T(0);
    DIFFMPM_UNROLL
    for (int n = 0; n < N; ++n)
      at[n] = q.base[n] + T(i - 1) * q.slope[0][n] + T(j - 1) * q.slope[1][n] - q.slope[2][n], row[n] = row_z[n] = T(0);
    DIFFMPM_UNROLL
    for (int k = 0; k < S; ++k) {
      const Node<T, N> node = tile.nodes[st.corner + Stencil<T, B>::node(i, j, k)];
      T s = T(0);
      DIFFMPM_UNROLL
      for (int n = 0; n < N; ++n) {
        s += node.at[n] * at[n];
        at[n] += q.slope[2][n];
        if (!kMoments) continue;
        const T value = st.w[2][k] * node.at[n];
        row[n] += value, row_z[n] += T(k - 1) * value;
      }
      inner += st.w[2][k] * s, inner_z += st.dw[2][k] * s;
    }
    g[0] += st.dw[0][i] * st.w[1][j] * inner;
    g[1] += st.w[0][i] * st.dw[1][j] * inner;
    g[2] += st.w[0][i] * st.w[1][j] * inner_z;
    if (kMoments) add_row(st.w[0][i] * st.w[1][j], i, j, row, row_z, sum, M);
  }
  return c.inv_dx * g;
}

// Neighbour at offset `side`, and its node `at`, of tile index t along an axis.
struct TileNode {
  int side, at;
  explicit DIFFMPM_HD TileNode(int t) {
    side = t < kMargin ? -1 : (t < kMargin + kBlockEdge ? 0 : 1);
    at = t - kMargin - kBlockEdge * side;
  }
};

// Phase: copy the last N channels of the nodes around a chunk into its tile.
template <class Block, class T, Basis B, int N>
DIFFMPM_HD void load_tile(Block& block, const StepView<T>& a, Tile<T, B, N>& tile) {
  using Shape = TileShape<B>;
  const Index* neighbors = a.layout.neighbors + std::int64_t{a.layout.chunks[block.index()].block} * kDirections;
  const Node<T, 4>* grid = reinterpret_cast<const Node<T, 4>*>(a.grid_v);
  block.template for_all<Shape::kNodes>([&](int n) {
    const TileNode i(n / (Shape::kDepth * Shape::kEdge)), j(n / Shape::kDepth % Shape::kEdge), k(n % Shape::kDepth);
    const int direction = 9 * (i.side + 1) + 3 * (j.side + 1) + k.side + 1;
    const int at = (i.at * kBlockEdge + j.at) * kBlockEdge + k.at;
    const Node<T, 4> from = grid[std::int64_t{neighbors[direction]} * kBlockNodes + at];
    Node<T, N> to;
    DIFFMPM_UNROLL
    for (int c = 0; c < N; ++c) to.at[c] = from.at[4 - N + c];
    tile.nodes[n] = to;
  });
}

// Offsets along an axis, lowest first, of the particle blocks whose tiles contain node `at` of a grid block.
template <Basis B>
struct TileSides {
  int lowest, count;
  explicit DIFFMPM_HD TileSides(int at) {
    // The tile of the block below begins at its node -kMargin.
    lowest = kMargin + kBlockEdge + at < TileShape<B>::kEdge ? -1 : 0;
    count = (at >= kBlockEdge - kMargin ? 1 : 0) - lowest + 1;
  }
};

// Sum over the tiles around a grid block of their values at its node n, in the order of directions and chunks.
template <Basis B, class T>
DIFFMPM_HD Node<T, 4> sum_tiles(const StepView<T>& a, std::int64_t grid_block, int n) {
  using Shape = TileShape<B>;
  const Index* sources = a.layout.sources + grid_block * kDirections;
  const Node<T, 4>* tiles = reinterpret_cast<const Node<T, 4>*>(a.tiles);
  const int at[3] = {n / 16, n / 4 % 4, n % 4};
  const TileSides<B> sides[3] = {TileSides<B>(at[0]), TileSides<B>(at[1]), TileSides<B>(at[2])};
  Node<T, 4> sum{};
  for (int i = sides[0].lowest; i < sides[0].lowest + sides[0].count; ++i)
    for (int j = sides[1].lowest; j < sides[1].lowest + sides[1].count; ++j)
      for (int k = sides[2].lowest; k < sides[2].lowest + sides[2].count; ++k) {
        const Index block = sources[9 * (i + 1) + 3 * (j + 1) + k + 1];
        if (block < 0) continue;
        const int node =
            ((kMargin - kBlockEdge * i + at[0]) * Shape::kEdge + kMargin - kBlockEdge * j + at[1]) * Shape::kDepth +
            kMargin - kBlockEdge * k + at[2];
        const Index last = a.layout.chunk_ends[block];
        for (Index chunk = block > 0 ? a.layout.chunk_ends[block - 1] : 0; chunk < last; ++chunk) {
          const Node<T, 4> part = tiles[std::int64_t{chunk} * Shape::kNodes + node];
          DIFFMPM_UNROLL
          for (int c = 0; c < 4; ++c) sum.at[c] += part.at[c];
        }
      }
  return sum;
}

}  // namespace diffmpm::cuda
