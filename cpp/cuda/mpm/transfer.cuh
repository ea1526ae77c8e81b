// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "core/block.cuh"
#include "mpm/step_view.cuh"

// Transfers between the particles of a block and its tile in shared memory. Gathers: one thread a particle. Scatters: a warp
// takes one channel of the tile and its lanes the nodes of a stencil, particle after particle in their order; so no two threads
// ever write one value.

namespace diffmpm::cuda {

// Nodes of a tile, one plane a channel: the lanes of a scatter then meet different banks.
template <class T, Basis B, int N>
struct Tile {
  T at[N][TileShape<B>::kNodes];
};

// Weights of one particle, and its place in the tile.
template <class T, Basis B>
struct Stencil {
  static constexpr int kNodes = BSpline<B>::kNodes;
  T w[3][kNodes], dw[3][kNodes];
  Vec3<T> e;
  int corner;  // node of the tile

  DIFFMPM_HD Stencil(const StepConstants<T>& c, const Index (&block)[3], const Vec3<T>& x) {
    int at[3];
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
    for (int r = 0; r < 3; ++r) {
      base[N - 3 + r] = at[r];
      for (int s = 0; s < 3; ++s) slope[s][N - 3 + r] = D(r, s);
    }
  }
};

// Stencils and values of the particles that a block scatters next. A row is one longer than the threads that fill it: the lanes
// of a scatter, which read a column, meet different banks.
template <class T, Basis B, int N>
struct Staged {
  static constexpr int kCount = 512 / static_cast<int>(sizeof(T));  // 128 or 64 particles
  static constexpr int kNodes = BSpline<B>::kNodes;
  T w[3][kNodes][kCount + 1];
  T base[N][kCount + 1], slope[3][N][kCount + 1];
  int corner[kCount + 1];

  DIFFMPM_HD void put(int n, const Stencil<T, B>& st, const Affine<T, N>& q) {
    for (int r = 0; r < 3; ++r)
      for (int a = 0; a < kNodes; ++a) w[r][a][n] = st.w[r][a];
    for (int c = 0; c < N; ++c) {
      base[c][n] = q.base[c];
      for (int r = 0; r < 3; ++r) slope[r][c][n] = q.slope[r][c];
    }
    corner[n] = st.corner;
  }
};

// tile_i += w_i (value at i) for the first `count` particles that are staged.
template <class Block, class T, Basis B, int N>
DIFFMPM_HD void scatter(Block& block, const Staged<T, B, N>& s, int count, Tile<T, B, N>& tile) {
  static_assert(N <= kWarps);
  constexpr int S = BSpline<B>::kNodes;
  block.for_warps(count, [&](int channel, int lane, int p) {
    if (channel >= N) return;
    const T base = s.base[channel][p], X = s.slope[0][channel][p], Y = s.slope[1][channel][p],
            Z = s.slope[2][channel][p];
    for (int n = lane; n < S * S * S; n += kWarp) {
      const int i = n / (S * S), j = n / S % S, k = n % S;
      const T value = base + T(i - 1) * X + T(j - 1) * Y + T(k - 1) * Z;
      tile.at[channel][s.corner[p] + Stencil<T, B>::node(i, j, k)] +=
          s.w[0][i][p] * s.w[1][j][p] * s.w[2][k][p] * value;
    }
  });
}

// Moments of the tile around one particle: sum[c] = sum w g and, of the last three channels, M(:, s) = sum w a_s g.
template <class T, Basis B, int N>
DIFFMPM_HD void gather(const Stencil<T, B>& st, const Tile<T, B, N>& tile, T (&sum)[N], Mat3<T>& M) {
  constexpr int S = BSpline<B>::kNodes;
  for (int c = 0; c < N; ++c) sum[c] = T(0);
  M = Mat3<T>::zero();
  for (int i = 0; i < S; ++i)
    for (int j = 0; j < S; ++j)
      for (int c = 0; c < N; ++c) {
        T row = T(0), row_z = T(0);
        for (int k = 0; k < S; ++k) {
          const T g = st.w[2][k] * tile.at[c][st.corner + Stencil<T, B>::node(i, j, k)];
          row += g, row_z += T(k - 1) * g;
        }
        const T w = st.w[0][i] * st.w[1][j];
        sum[c] += w * row;
        if (c < N - 3) continue;
        const int r = c - (N - 3);
        M(r, 0) += T(i - 1) * w * row, M(r, 1) += T(j - 1) * w * row, M(r, 2) += w * row_z;
      }
}

// Gradient of sum_i w_i (value at i) . g_i in the particle's position, by way of the weights.
template <class T, Basis B, int N>
DIFFMPM_HD Vec3<T> weights_gradient(const StepConstants<T>& c, const Stencil<T, B>& st, const Affine<T, N>& q,
                                    const Tile<T, B, N>& tile) {
  constexpr int S = BSpline<B>::kNodes;
  Vec3<T> g = Vec3<T>::zero();
  for (int i = 0; i < S; ++i)
    for (int j = 0; j < S; ++j) {
      T row = T(0), row_z = T(0);
      for (int k = 0; k < S; ++k) {
        T s = T(0);
        for (int n = 0; n < N; ++n)
          s += tile.at[n][st.corner + Stencil<T, B>::node(i, j, k)] *
               (q.base[n] + T(i - 1) * q.slope[0][n] + T(j - 1) * q.slope[1][n] + T(k - 1) * q.slope[2][n]);
        row += st.w[2][k] * s, row_z += st.dw[2][k] * s;
      }
      g[0] += st.dw[0][i] * st.w[1][j] * row;
      g[1] += st.w[0][i] * st.dw[1][j] * row;
      g[2] += st.w[0][i] * st.w[1][j] * row_z;
    }
  return c.inv_dx * g;
}

// Block and node that tile index t of an axis belongs to: neighbour at offset `side`, its node `at`.
struct TileNode {
  int side, at;
  explicit DIFFMPM_HD TileNode(int t) {
    side = t < kMargin ? -1 : (t < kMargin + kBlockEdge ? 0 : 1);
    at = t - kMargin - kBlockEdge * side;
  }
};

// Phase: copy the last N channels of the nodes around a particle block into its tile.
template <class Block, class T, Basis B, int N>
DIFFMPM_HD void load_tile(Block& block, const StepView<T>& a, Tile<T, B, N>& tile) {
  using Shape = TileShape<B>;
  const Index* neighbors = a.layout.neighbors + std::int64_t{block.index()} * kDirections;
  block.for_each(N * Shape::kNodes, [&](int n) {
    const int node = n / N, channel = n % N;
    const TileNode i(node / (Shape::kDepth * Shape::kEdge)), j(node / Shape::kDepth % Shape::kEdge),
        k(node % Shape::kDepth);
    const int direction = 9 * (i.side + 1) + 3 * (j.side + 1) + k.side + 1;
    const int at = (i.at * kBlockEdge + j.at) * kBlockEdge + k.at;
    tile.at[channel][node] = a.grid_v[std::int64_t{neighbors[direction]} * kGridBlockSize + at * kNodeChannels +
                                      (kNodeChannels - N) + channel];
  });
}

template <class Block, class T, Basis B, int N>
DIFFMPM_HD void clear_tile(Block& block, Tile<T, B, N>& tile) {
  block.for_each(N * TileShape<B>::kNodes, [&](int n) { tile.at[n % N][n / N] = T(0); });
}

// Phase: write the tile as the last N channels of the block's tile in global memory, zeros in the others.
template <class Block, class T, Basis B, int N>
DIFFMPM_HD void store_tile(Block& block, const StepView<T>& a, const Tile<T, B, N>& tile) {
  using Shape = TileShape<B>;
  T* out = a.tiles + block.index() * Shape::kSize;
  block.for_each(static_cast<int>(Shape::kSize), [&](int n) {
    const int channel = n % kNodeChannels - (kNodeChannels - N);
    out[n] = channel < 0 ? T(0) : tile.at[channel < 0 ? 0 : channel][n / kNodeChannels];
  });
}

// Phase: what the tiles around a grid block hold of its values, summed in the order of directions; value n is channel n % 4 of
// node n / 4.
template <Basis B, class Block, class T>
DIFFMPM_HD void sum_tiles(Block& block, const StepView<T>& a, T (&sums)[kGridBlockSize]) {
  using Shape = TileShape<B>;
  const Index* sources = a.layout.sources + std::int64_t{block.index()} * kDirections;
  block.for_each(kGridBlockSize, [&](int n) {
    const int node = n / kNodeChannels;
    T sum = T(0);
    for (int d = 0; d < kDirections; ++d) {
      if (sources[d] < 0) continue;
      // The grid block lies in the opposite direction of the tile's block.
      const int i = kMargin + kBlockEdge * (1 - d / 9) + node / 16,
                j = kMargin + kBlockEdge * (1 - d / 3 % 3) + node / 4 % 4,
                k = kMargin + kBlockEdge * (1 - d % 3) + node % 4;
      if (i < 0 || j < 0 || k < 0 || i >= Shape::kEdge || j >= Shape::kEdge || k >= Shape::kDepth) continue;
      sum += a.tiles[sources[d] * Shape::kSize + i * Shape::kStrideI + j * Shape::kStrideJ + k * kNodeChannels +
                     n % kNodeChannels];
    }
    sums[n] = sum;
  });
}

// Coordinates of node n of a grid block.
struct NodeIndex {
  Index at[3];
  DIFFMPM_HD NodeIndex(const GridBlock& block, int n) {
    at[0] = kBlockEdge * block.coord[0] + n / 16, at[1] = kBlockEdge * block.coord[1] + n / 4 % 4;
    at[2] = kBlockEdge * block.coord[2] + n % 4;
  }
};

}  // namespace diffmpm::cuda
