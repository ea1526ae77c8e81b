// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "layout.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "diffmpm/mpm/bspline.hpp"

namespace diffmpm {
namespace {

using Key = std::uint64_t;
inline constexpr int kCellBits = 6;  // a cell inside its block

// Bits that hold each axis' block coordinate relative to the smallest one.
struct Packing {
  Index low[3];
  int bits[3];

  Key pack(const Index (&coord)[3]) const {
    Key key = 0;
    for (int r = 0; r < 3; ++r) key = (key << bits[r]) | static_cast<Key>(coord[r] - low[r]);
    return key;
  }
  void unpack(Key key, Index (&coord)[3]) const {
    for (int r = 2; r >= 0; --r) {
      coord[r] = static_cast<Index>(key & ((Key{1} << bits[r]) - 1)) + low[r];
      key >>= bits[r];
    }
  }
};

template <class T>
Index base_cell(const MpmParams& p, const T* x, int axis) {
  const double shift = p.basis == Basis::cubic ? BSpline<Basis::cubic>::kShift : BSpline<Basis::quadratic>::kShift;
  const T s = (x[axis] - T(p.origin[axis])) * T(1 / p.dx);
  return static_cast<Index>(std::floor(s - T(shift)));
}

// Stable least-significant-digit radix sort of (key, particle).
void radix_sort(std::vector<std::pair<Key, Index>>& items, int bits) {
  constexpr int kDigit = 11;
  std::vector<std::pair<Key, Index>> other(items.size());
  std::vector<std::size_t> start(std::size_t{1} << kDigit);
  for (int shift = 0; shift < bits; shift += kDigit) {
    std::fill(start.begin(), start.end(), 0);
    const Key mask = (Key{1} << kDigit) - 1;
    for (const auto& item : items) ++start[(item.first >> shift) & mask];
    std::size_t sum = 0;
    for (std::size_t& s : start) sum += std::exchange(s, sum);
    for (const auto& item : items) other[start[(item.first >> shift) & mask]++] = item;
    items.swap(other);
  }
}

Packing choose_packing(const Index (&low)[3], const Index (&high)[3]) {
  Packing packing{};
  for (int r = 0; r < 3; ++r) {
    // One block of room on each side for the neighbours.
    packing.low[r] = low[r] - 1;
    packing.bits[r] = std::bit_width(static_cast<unsigned>(high[r] - low[r] + 2));
  }
  return packing;
}

void fill_groups(Layout& layout, const std::vector<std::pair<Key, Index>>& items, const Packing& packing) {
  std::size_t n = 0;
  while (n < items.size()) {
    const Key block = items[n].first >> kCellBits;
    std::size_t end = n;
    while (end < items.size() && items[end].first >> kCellBits == block) ++end;
    ParticleBlock b{};
    b.first_group = static_cast<Index>(layout.group_count());
    b.particle_count = static_cast<Index>(end - n);
    b.group_count = (b.particle_count + kLanes - 1) / kLanes;
    packing.unpack(block, b.coord);
    for (; n < end; ++n) layout.ids.push_back(items[n].second);
    while (layout.ids.size() % kLanes != 0) layout.ids.push_back(~items[end - 1].second);
    layout.blocks.push_back(b);
  }
}

// Direction d of a block as a coordinate offset.
void offset_coord(const Index (&coord)[3], int d, int sign, Index (&out)[3]) {
  out[0] = coord[0] + sign * (d / 9 - 1);
  out[1] = coord[1] + sign * (d / 3 % 3 - 1);
  out[2] = coord[2] + sign * (d % 3 - 1);
}

void connect(Layout& layout, const Packing& packing) {
  std::vector<Key> keys;
  keys.reserve(layout.blocks.size() * kDirections);
  Index coord[3];
  for (const ParticleBlock& b : layout.blocks)
    for (int d = 0; d < kDirections; ++d) {
      offset_coord(b.coord, d, 1, coord);
      keys.push_back(packing.pack(coord));
    }
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  layout.grid.resize(keys.size());
  layout.sources.resize(keys.size());
  for (std::size_t g = 0; g < keys.size(); ++g) {
    packing.unpack(keys[g], layout.grid[g].coord);
    layout.sources[g].fill(-1);
  }
  layout.neighbors.resize(layout.blocks.size());
  for (std::size_t b = 0; b < layout.blocks.size(); ++b)
    for (int d = 0; d < kDirections; ++d) {
      offset_coord(layout.blocks[b].coord, d, 1, coord);
      const auto at = std::lower_bound(keys.begin(), keys.end(), packing.pack(coord)) - keys.begin();
      layout.neighbors[b][static_cast<std::size_t>(d)] = static_cast<Index>(at);
      // Seen from the grid block, the particle block lies in the opposite direction.
      layout.sources[static_cast<std::size_t>(at)][static_cast<std::size_t>(kDirections - 1 - d)] =
          static_cast<Index>(b);
    }
}

}  // namespace

template <class T>
std::int64_t find_outside(const MpmParams& params, const T* x, std::int64_t count) {
  for (std::int64_t p = 0; p < count; ++p)
    for (int r = 0; r < 3; ++r) {
      const T s = (x[3 * p + r] - T(params.origin[r])) * T(1 / params.dx);
      const bool inside = params.basis == Basis::cubic ? inside_axis<Basis::cubic>(s, params.dims[r])
                                                       : inside_axis<Basis::quadratic>(s, params.dims[r]);
      if (!inside) return p;
    }
  return -1;
}

template <class T>
Layout make_layout(const MpmParams& params, const T* x, std::int64_t count) {
  std::vector<std::array<Index, 3>> cells(static_cast<std::size_t>(count));
  Index low[3] = {1 << 30, 1 << 30, 1 << 30}, high[3] = {-(1 << 30), -(1 << 30), -(1 << 30)};
  for (std::int64_t p = 0; p < count; ++p)
    for (int r = 0; r < 3; ++r) {
      const Index cell = base_cell(params, x + 3 * p, r);
      cells[static_cast<std::size_t>(p)][static_cast<std::size_t>(r)] = cell;
      low[r] = std::min(low[r], cell >> 2), high[r] = std::max(high[r], cell >> 2);
    }
  const Packing packing = choose_packing(low, high);
  std::vector<std::pair<Key, Index>> items(cells.size());
  for (std::size_t p = 0; p < cells.size(); ++p) {
    Index coord[3];
    Key cell = 0;
    for (int r = 0; r < 3; ++r) {
      const Index at = cells[p][static_cast<std::size_t>(r)];
      coord[r] = at >> 2, cell = (cell << 2) | static_cast<Key>(at & 3);
    }
    items[p] = {(packing.pack(coord) << kCellBits) | cell, static_cast<Index>(p)};
  }
  radix_sort(items, kCellBits + packing.bits[0] + packing.bits[1] + packing.bits[2]);
  Layout layout;
  layout.ids.reserve(items.size() + items.size() / 8);
  fill_groups(layout, items, packing);
  connect(layout, packing);
  return layout;
}

template Layout make_layout<float>(const MpmParams&, const float*, std::int64_t);
template Layout make_layout<double>(const MpmParams&, const double*, std::int64_t);
template std::int64_t find_outside<float>(const MpmParams&, const float*, std::int64_t);
template std::int64_t find_outside<double>(const MpmParams&, const double*, std::int64_t);

}  // namespace diffmpm
