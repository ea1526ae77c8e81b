// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/mpm/constants.hpp"
#include "tile.hpp"

// Transfers between a group of particles and the tile of its block. A particle's value at the node (a_x, a_y, a_z), counted
// from the centre of its stencil, is affine: base + a_x X + a_y Y + a_z Z, four channels each. Weights are evaluated for all
// lanes at once; then each lane visits its stencil row by row.

DIFFMPM_BEGIN_ISA

template <class T, Basis B>
struct alignas(64) Stencil {
  static constexpr int kNodes = BSpline<B>::kNodes;
  // Weight, weight times offset, derivative; per node and lane along x and y, per lane and node (padded) along z.
  T wx[kNodes][kLanes], mx[kNodes][kLanes], dx[kNodes][kLanes];
  T wy[kNodes][kLanes], my[kNodes][kLanes], dy[kNodes][kLanes];
  T wz[kLanes * kRowNodes], mz[kLanes * kRowNodes], dz[kLanes * kRowNodes];
  T e[3][kLanes];  // offset of the particle from the centre node [cells]
  std::int32_t offset[kLanes];
};

// Four channels of every lane: out[4 * lane + channel].
template <class T>
struct alignas(64) Quads {
  T q[kLanes * kChannels];
  const T* lane(int l) const { return q + kChannels * l; }
  T* lane(int l) { return q + kChannels * l; }
};

template <class T>
struct AffineQuads {
  Quads<T> base, X, Y, Z;
};

template <class T, Basis B>
DIFFMPM_INLINE void make_stencil(const StepConstants<T>& c, const Index (&block)[3], const T* x, Stencil<T, B>& out) {
  using P = Pack<T>;
  using Shape = TileShape<B>;
  constexpr int S = BSpline<B>::kNodes;
  for (int l = 0; l < kLanes; l += P::kWidth) {
    P w[3][4], dw[3][4], local[3];
    for (int r = 0; r < 3; ++r) {
      const P s = grid_coordinate(c, P::load(x + r * kLanes + l), r);
      P e, ws[S], dws[S];
      locate_in_tile<B>(s, block[r], local[r], e);
      e.store(out.e[r] + l);
      BSpline<B>::weights(e, ws, dws);
      for (int a = 0; a < 4; ++a) {
        w[r][a] = a < S ? ws[a < S ? a : 0] : P(T(0));
        dw[r][a] = a < S ? dws[a < S ? a : 0] : P(T(0));
      }
    }
    for (int a = 0; a < S; ++a) {
      const P step{T(a - 1)};
      w[0][a].store(out.wx[a] + l), (step * w[0][a]).store(out.mx[a] + l), dw[0][a].store(out.dx[a] + l);
      w[1][a].store(out.wy[a] + l), (step * w[1][a]).store(out.my[a] + l), dw[1][a].store(out.dy[a] + l);
    }
    const P zero{T(0)};
    store_quads(out.wz + 4 * l, w[2][0], w[2][1], w[2][2], w[2][3]);
    store_quads(out.mz + 4 * l, -w[2][0], zero, w[2][2], P(T(2)) * w[2][3]);
    store_quads(out.dz + 4 * l, dw[2][0], dw[2][1], dw[2][2], dw[2][3]);
    const P at = (local[0] * P(T(Shape::kEdge)) + local[1]) * P(T(Shape::kDepth)) + local[2];
    store_as_int(out.offset + l, at * P(T(kChannels)));
  }
}

// The affine values as rows at the corner of a stencil, for the four nodes along z.
template <class T>
struct AffineRow {
  Row<T> corner, X, Y;

  DIFFMPM_INLINE AffineRow(const AffineQuads<T>& q, int l) {
    alignas(64) static constexpr T kSteps[4] = {T(-1), T(0), T(1), T(2)};
    X = Row<T>::channels(q.X.lane(l));
    Y = Row<T>::channels(q.Y.lane(l));
    corner = Row<T>::channels(q.base.lane(l)) + Row<T>::nodes(kSteps) * Row<T>::channels(q.Z.lane(l)) - X - Y;
  }
};

// tile_i += w_i (affine value at i)
template <class T, Basis B>
inline void scatter(const Stencil<T, B>& st, const AffineQuads<T>& q, int lanes, T* tile) {
  using Shape = TileShape<B>;
  constexpr int S = BSpline<B>::kNodes;
  for (int l = 0; l < lanes; ++l) {
    AffineRow<T> a(q, l);
    const Row<T> K = Row<T>::nodes(st.wz + 4 * l);
    Row<T> corner = K * a.corner;
    const Row<T> X = K * a.X, Y = K * a.Y;
    T* out = tile + st.offset[l];
    DIFFMPM_UNROLL
    for (int i = 0; i < S; ++i) {
      Row<T> value = st.wx[i][l] * corner;
      const Row<T> step = st.wx[i][l] * Y;
      DIFFMPM_UNROLL
      for (int j = 0; j < S; ++j) {
        T* at = out + i * Shape::kStrideI + j * Shape::kStrideJ;
        Row<T> sum = Row<T>::load(at);
        sum.add_scaled(st.wy[j][l], value);
        sum.store(at);
        value = value + step;
      }
      corner = corner + X;
    }
  }
}

// Moments of the grid: out.base = sum w g, out.X = sum w a_x g, and likewise Y, Z.
template <class T, Basis B>
inline void gather(const Stencil<T, B>& st, const T* tile, int lanes, AffineQuads<T>& out) {
  using Shape = TileShape<B>;
  constexpr int S = BSpline<B>::kNodes;
  for (int l = 0; l < lanes; ++l) {
    const T* in = tile + st.offset[l];
    Row<T> sum = Row<T>::zero(), sum_x = Row<T>::zero(), sum_y = Row<T>::zero();
    DIFFMPM_UNROLL
    for (int i = 0; i < S; ++i) {
      Row<T> part = Row<T>::zero(), part_y = Row<T>::zero();
      DIFFMPM_UNROLL
      for (int j = 0; j < S; ++j) {
        const Row<T> g = Row<T>::load(in + i * Shape::kStrideI + j * Shape::kStrideJ);
        part.add_scaled(st.wy[j][l], g);
        if (j != 1) part_y.add_scaled(st.my[j][l], g);
      }
      sum.add_scaled(st.wx[i][l], part);
      if (i != 1) sum_x.add_scaled(st.mx[i][l], part);
      sum_y.add_scaled(st.wx[i][l], part_y);
    }
    const Row<T> K = Row<T>::nodes(st.wz + 4 * l), M = Row<T>::nodes(st.mz + 4 * l);
    (K * sum).store_node_sum(out.base.lane(l));
    (K * sum_x).store_node_sum(out.X.lane(l));
    (K * sum_y).store_node_sum(out.Y.lane(l));
    (M * sum).store_node_sum(out.Z.lane(l));
  }
}

// Gradient of sum_i w_i (affine value at i) . g_i through the weights, channel by channel, one quad per axis.
template <class T>
struct GradientQuads {
  Quads<T> axis[3];
};

template <class T, Basis B>
DIFFMPM_INLINE void store_gradient(const Stencil<T, B>& st, int l, const Row<T>& gx, const Row<T>& gy, const Row<T>& gz,
                                   GradientQuads<T>& out) {
  const Row<T> K = Row<T>::nodes(st.wz + 4 * l), D = Row<T>::nodes(st.dz + 4 * l);
  (K * gx).store_node_sum(out.axis[0].lane(l));
  (K * gy).store_node_sum(out.axis[1].lane(l));
  (D * gz).store_node_sum(out.axis[2].lane(l));
}

// Adjoint of a gather with the affine value as cotangent: scatters it into `out` and gathers the gradient of the weights.
template <class T, Basis B>
inline void gather_vjp(const Stencil<T, B>& st, const AffineQuads<T>& q, int lanes, const T* tile, T* out,
                       GradientQuads<T>& gradient) {
  using Shape = TileShape<B>;
  constexpr int S = BSpline<B>::kNodes;
  for (int l = 0; l < lanes; ++l) {
    AffineRow<T> a(q, l);
    const Row<T> K = Row<T>::nodes(st.wz + 4 * l);
    Row<T> gx = Row<T>::zero(), gy = Row<T>::zero(), gz = Row<T>::zero();
    DIFFMPM_UNROLL
    for (int i = 0; i < S; ++i) {
      Row<T> value = a.corner, part = Row<T>::zero(), part_d = Row<T>::zero();
      const Row<T> weight = st.wx[i][l] * K;
      DIFFMPM_UNROLL
      for (int j = 0; j < S; ++j) {
        const std::int64_t at = st.offset[l] + i * Shape::kStrideI + j * Shape::kStrideJ;
        const Row<T> s = Row<T>::load(tile + at) * value;
        part.add_scaled(st.wy[j][l], s);
        part_d.add_scaled(st.dy[j][l], s);
        Row<T> sum = Row<T>::load(out + at);
        sum.add_scaled(st.wy[j][l], weight * value);
        sum.store(out + at);
        value = value + a.Y;
      }
      gx.add_scaled(st.dx[i][l], part);
      gy.add_scaled(st.wx[i][l], part_d);
      gz.add_scaled(st.wx[i][l], part);
      a.corner = a.corner + a.X;
    }
    store_gradient(st, l, gx, gy, gz, gradient);
  }
}

// Adjoint of a scatter: moments of the cotangent as in `gather`, and the gradient of the weights.
template <class T, Basis B>
inline void scatter_vjp(const Stencil<T, B>& st, const AffineQuads<T>& q, int lanes, const T* tile, AffineQuads<T>& out,
                        GradientQuads<T>& gradient) {
  using Shape = TileShape<B>;
  constexpr int S = BSpline<B>::kNodes;
  for (int l = 0; l < lanes; ++l) {
    AffineRow<T> a(q, l);
    const T* in = tile + st.offset[l];
    Row<T> gx = Row<T>::zero(), gy = gx, gz = gx, sum = gx, sum_x = gx, sum_y = gx;
    DIFFMPM_UNROLL
    for (int i = 0; i < S; ++i) {
      Row<T> value = a.corner, part = Row<T>::zero(), part_d = part, moment = part, moment_y = part;
      DIFFMPM_UNROLL
      for (int j = 0; j < S; ++j) {
        const Row<T> g = Row<T>::load(in + i * Shape::kStrideI + j * Shape::kStrideJ);
        const Row<T> s = g * value;
        part.add_scaled(st.wy[j][l], s);
        part_d.add_scaled(st.dy[j][l], s);
        moment.add_scaled(st.wy[j][l], g);
        if (j != 1) moment_y.add_scaled(st.my[j][l], g);
        value = value + a.Y;
      }
      gx.add_scaled(st.dx[i][l], part);
      gy.add_scaled(st.wx[i][l], part_d);
      gz.add_scaled(st.wx[i][l], part);
      sum.add_scaled(st.wx[i][l], moment);
      if (i != 1) sum_x.add_scaled(st.mx[i][l], moment);
      sum_y.add_scaled(st.wx[i][l], moment_y);
      a.corner = a.corner + a.X;
    }
    store_gradient(st, l, gx, gy, gz, gradient);
    const Row<T> K = Row<T>::nodes(st.wz + 4 * l), M = Row<T>::nodes(st.mz + 4 * l);
    (K * sum).store_node_sum(out.base.lane(l));
    (K * sum_x).store_node_sum(out.X.lane(l));
    (K * sum_y).store_node_sum(out.Y.lane(l));
    (M * sum).store_node_sum(out.Z.lane(l));
  }
}

DIFFMPM_END_ISA
