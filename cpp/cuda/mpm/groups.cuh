// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "core/block.cuh"
#include "diffmpm/math/mat3.hpp"
#include "mpm/step_view.cuh"

// Move data between the caller's arrays, (N, components) row-major, and groups of 16 lanes, as cpp/src/mpm/groups.hpp does. One
// item a lane. Padding is neither read nor written: on a device nothing runs on it.

namespace diffmpm::cuda {

// Components [first, first + width) of a lane in groups of `stride` components.
template <class T>
DIFFMPM_HD T* lane_at(T* groups, std::int64_t lane, int stride, int first) {
  return groups + (lane / kLanes * stride + first) * kLanes + lane % kLanes;
}

template <class T, bool kAdd>
struct ToGroups {
  std::int64_t count;  // lanes
  const Index* ids;
  const T* rows;
  int width, stride, first;
  T* groups;

  DIFFMPM_HD void operator()(std::int64_t lane) const {
    if (ids[lane] < 0) return;
    T* out = lane_at(groups, lane, stride, first);
    const T* row = rows + std::int64_t{ids[lane]} * width;
    for (int k = 0; k < width; ++k) out[k * kLanes] = kAdd ? out[k * kLanes] + row[k] : row[k];
  }
};

template <class T>
struct FromGroups {
  std::int64_t count;  // lanes
  const Index* ids;
  const T* groups;
  int stride, first, width;
  T* rows;

  DIFFMPM_HD void operator()(std::int64_t lane) const {
    if (ids[lane] < 0) return;
    const T* in = lane_at(groups, lane, stride, first);
    T* row = rows + std::int64_t{ids[lane]} * width;
    for (int k = 0; k < width; ++k) row[k] = in[k * kLanes];
  }
};

template <class T>
struct SetIdentity {
  std::int64_t count;  // lanes
  int stride, first;
  T* groups;

  DIFFMPM_HD void operator()(std::int64_t lane) const {
    T* out = lane_at(groups, lane, stride, first);
    for (int k = 0; k < 9; ++k) out[k * kLanes] = T(k % 4 == 0 ? 1 : 0);
  }
};

// Lane of each particle.
struct InvertIds {
  std::int64_t count;  // lanes
  const Index* ids;
  Index* lanes;

  DIFFMPM_HD void operator()(std::int64_t lane) const {
    if (ids[lane] >= 0) lanes[ids[lane]] = static_cast<Index>(lane);
  }
};

// Copy all components of groups in one order to another; `lanes` is the old order's.
template <class T>
struct Reorder {
  std::int64_t count;  // lanes of the new order
  const Index *ids, *lanes;
  int stride;
  const T* in;
  T* out;

  DIFFMPM_HD void operator()(std::int64_t lane) const {
    if (ids[lane] < 0) return;
    const T* from = lane_at(in, lanes[ids[lane]], stride, 0);
    T* to = lane_at(out, lane, stride, 0);
    for (int k = 0; k < stride; ++k) to[k * kLanes] = from[k * kLanes];
  }
};

template <class T>
struct Invert {
  std::int64_t count;  // matrices
  const T* in;
  T* out;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    const Mat3<T>* matrices = reinterpret_cast<const Mat3<T>*>(in);
    reinterpret_cast<Mat3<T>*>(out)[n] = inverse(matrices[n]);
  }
};

template <class T>
struct InvertVjp {
  std::int64_t count;  // matrices
  const T* in;
  T* adj;  // of the inverse, becomes that of `in`

  DIFFMPM_HD void operator()(std::int64_t n) const {
    Mat3<T>& value = reinterpret_cast<Mat3<T>*>(adj)[n];
    value = inverse_vjp(inverse(reinterpret_cast<const Mat3<T>*>(in)[n]), value);
  }
};

// Whether each particle is outside of the grid.
template <class T>
struct Outside {
  std::int64_t count;
  StepConstants<T> c;
  Basis basis;
  const T* x;
  Index* outside;

  DIFFMPM_HD void operator()(std::int64_t n) const { outside[n] = inside_grid(c, basis, x + 3 * n) ? 0 : 1; }
};

}  // namespace diffmpm::cuda
