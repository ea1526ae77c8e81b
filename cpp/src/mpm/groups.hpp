// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/math/mat3.hpp"
#include "layout.hpp"

// Move data between the caller's arrays, (N, components) row-major, and groups of 16 lanes in a layout's order.

namespace diffmpm {

// Components [first, first + width) of the groups from rows of `in`; padding gets the row it copies, or zero.
template <class T>
void to_groups(const Layout& layout, const T* in, int width, T* groups, int stride, int first, bool zero_padding) {
  const std::int64_t count = layout.group_count();
  parallel_for(count, 64, [&](std::int64_t g) {
    T* out = groups + (g * stride + first) * kLanes;
    for (int l = 0; l < kLanes; ++l) {
      const Index id = layout.ids[static_cast<std::size_t>(g * kLanes + l)];
      const bool padding = id < 0;
      const T* row = in + std::int64_t{padding ? ~id : id} * width;
      for (int k = 0; k < width; ++k) out[k * kLanes + l] = padding && zero_padding ? T(0) : row[k];
    }
  });
}

// Add rows of `in` to components of the groups.
template <class T>
void add_to_groups(const Layout& layout, const T* in, int width, T* groups, int stride, int first) {
  const std::int64_t count = layout.group_count();
  parallel_for(count, 64, [&](std::int64_t g) {
    T* out = groups + (g * stride + first) * kLanes;
    for (int l = 0; l < kLanes; ++l) {
      const Index id = layout.ids[static_cast<std::size_t>(g * kLanes + l)];
      if (id < 0) continue;
      for (int k = 0; k < width; ++k) out[k * kLanes + l] += in[std::int64_t{id} * width + k];
    }
  });
}

// The reverse of to_groups.
template <class T>
void from_groups(const Layout& layout, const T* groups, int stride, int first, int width, T* out) {
  const std::int64_t count = layout.group_count();
  parallel_for(count, 64, [&](std::int64_t g) {
    const T* in = groups + (g * stride + first) * kLanes;
    for (int l = 0; l < kLanes; ++l) {
      const Index id = layout.ids[static_cast<std::size_t>(g * kLanes + l)];
      if (id < 0) continue;
      for (int k = 0; k < width; ++k) out[std::int64_t{id} * width + k] = in[k * kLanes + l];
    }
  });
}

// Lane of each particle.
inline void invert_ids(const Layout& layout, std::vector<std::int64_t>& lane_of) {
  const std::int64_t lanes = static_cast<std::int64_t>(layout.ids.size());
  lane_of.resize(layout.ids.size());  // at least as many as particles
  for (std::int64_t n = 0; n < lanes; ++n) {
    const Index id = layout.ids[static_cast<std::size_t>(n)];
    if (id >= 0) lane_of[static_cast<std::size_t>(id)] = n;
  }
}

// Copy all components of groups in one order to another; `lane_of` is the old order's. Padding copies its particle, or is 0.
template <class T>
void reorder_groups(const Layout& to, const std::vector<std::int64_t>& lane_of, const T* in, T* out, int stride,
                    bool zero_padding) {
  const std::int64_t count = to.group_count();
  parallel_for(count, 64, [&](std::int64_t g) {
    for (int l = 0; l < kLanes; ++l) {
      const Index id = to.ids[static_cast<std::size_t>(g * kLanes + l)];
      const bool padding = id < 0;
      const std::int64_t lane = lane_of[static_cast<std::size_t>(padding ? ~id : id)];
      const T* from = in + lane / kLanes * stride * kLanes + lane % kLanes;
      for (int k = 0; k < stride; ++k)
        out[(g * stride + k) * kLanes + l] = padding && zero_padding ? T(0) : from[k * kLanes];
    }
  });
}

// Padding of a state stands still and undeformed, where its particle is.
template <class T>
void reset_padding(const Layout& layout, T* groups, int stride) {
  for (const ParticleBlock& b : layout.blocks) {
    const std::int64_t g = std::int64_t{b.first_group} + b.group_count - 1;
    for (int l = b.particle_count - (b.group_count - 1) * kLanes; l < kLanes; ++l) {
      T* lane = groups + g * stride * kLanes + l;
      for (int k = kV; k < stride; ++k) {
        const int entry = k - kF;
        lane[k * kLanes] = entry >= 0 && entry % 9 % 4 == 0 ? T(1) : T(0);
      }
    }
  }
}

}  // namespace diffmpm
