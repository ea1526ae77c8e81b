// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/core/memory.hpp"
#include "diffmpm/math/mat3.hpp"
#include "diffmpm/mpm/blocks.hpp"

// Particle data between arrays in the order of the caller, (N, components), and groups of 16 lanes, and between two orders; inverses
// of matrices. An item handles one lane or one matrix. `ids` has the particle of each lane, ~particle for padding.

DIFFMPM_BEGIN_ISA

// Lanes without a particle: not written, copies of the particle, or zero.
enum class Padding { skipped, copied, zero };

// Component `first` of a lane in groups of `stride` components.
template <class T>
DIFFMPM_HD T* lane_at(T* groups, std::int64_t lane, int stride, int first) {
  const auto n = static_cast<std::uint64_t>(lane);  // cheaper to divide
  return groups + (static_cast<std::int64_t>(n / kLanes) * stride + first) * kLanes + n % kLanes;
}

// With kAdd the rows are added to the groups.
template <class T, bool kAdd>
struct ToGroups {
  std::int64_t count;  // lanes
  const Index* ids;
  const T* rows;
  int width, stride, first;
  Padding padding;
  T* groups;

  DIFFMPM_HD void operator()(std::int64_t lane) const {
    const Index id = ids[lane];
    if (id < 0 && padding == Padding::skipped) return;
    T* out = lane_at(groups, lane, stride, first);
    const T* row = rows + std::int64_t{id < 0 ? ~id : id} * width;
    for (int k = 0; k < width; ++k) {
      const T value = id < 0 && padding == Padding::zero ? T(0) : row[k];
      out[k * kLanes] = kAdd ? out[k * kLanes] + value : value;
    }
  }
};

// Unrolled for vectors and matrices.
template <int kWidth, class T>
DIFFMPM_HD void copy_row(const T* in, T* row) {
  DIFFMPM_UNROLL
  for (int k = 0; k < kWidth; ++k) row[k] = in[k * kLanes];
}

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
    if (width == 9) return copy_row<9>(in, row);
    if (width == 3) return copy_row<3>(in, row);
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

// Copies all components of groups to another order; `lanes` belongs to the old one.
template <class T>
struct Reorder {
  std::int64_t count;  // lanes of the new order
  const Index *ids, *lanes;
  int stride;
  Padding padding;
  const T* in;
  T* out;

  DIFFMPM_HD void operator()(std::int64_t lane) const {
    const Index id = ids[lane];
    if (id < 0 && padding == Padding::skipped) return;
    const T* from = lane_at(in, lanes[id < 0 ? ~id : id], stride, 0);
    T* to = lane_at(out, lane, stride, 0);
    for (int k = 0; k < stride; ++k) to[k * kLanes] = id < 0 && padding == Padding::zero ? T(0) : from[k * kLanes];
  }
};

template <class T>
struct Invert {
  std::int64_t count;  // matrices
  const T* in;
  T* out;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    reinterpret_cast<Mat3<T>*>(out)[n] = inverse(reinterpret_cast<const Mat3<T>*>(in)[n]);
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

DIFFMPM_END_ISA

namespace diffmpm {

// These moves as methods of a backend, which has for_all(item), reserve(buffer, count), ids(layout) and kWritesPadding.
template <class Backend, class T>
class GroupMoves {
 public:
  template <class Layout>
  void to_groups(const Layout& layout, const T* in, int width, T* groups, int stride, int first, bool zero_padding) {
    self().for_all(
        ToGroups<T, false>{lanes(layout), self().ids(layout), in, width, stride, first, padding(zero_padding), groups});
  }
  template <class Layout>
  void add_to_groups(const Layout& layout, const T* in, int width, T* groups, int stride, int first) {
    self().for_all(
        ToGroups<T, true>{lanes(layout), self().ids(layout), in, width, stride, first, Padding::skipped, groups});
  }
  template <class Layout>
  void from_groups(const Layout& layout, const T* groups, int stride, int first, int width, T* out) {
    self().for_all(FromGroups<T>{lanes(layout), self().ids(layout), groups, stride, first, width, out});
  }
  template <class Layout>
  void set_identity(const Layout& layout, T* groups, int stride, int first) {
    self().for_all(SetIdentity<T>{lanes(layout), stride, first, groups});
  }
  template <class Layout>
  void leave_order(const Layout& from) {
    self().reserve(lane_of_, lanes(from));  // at least the number of particles
    self().for_all(InvertIds{lanes(from), self().ids(from), lane_of_.data()});
  }
  template <class Layout>
  void reorder(const Layout& to, const T* in, T* out, int stride, bool zero_padding) {
    self().for_all(Reorder<T>{lanes(to), self().ids(to), lane_of_.data(), stride, padding(zero_padding), in, out});
  }
  void invert(const T* in, std::int64_t count, T* out) { self().for_all(Invert<T>{count, in, out}); }
  void invert_vjp(const T* in, std::int64_t count, T* adj) { self().for_all(InvertVjp<T>{count, in, adj}); }

 private:
  Backend& self() { return static_cast<Backend&>(*this); }
  template <class Layout>
  static std::int64_t lanes(const Layout& layout) {
    return layout.group_count() * kLanes;
  }
  static Padding padding(bool zero) {
    return !Backend::kWritesPadding ? Padding::skipped : zero ? Padding::zero : Padding::copied;
  }

  Buffer<Index> lane_of_;
};

}  // namespace diffmpm
