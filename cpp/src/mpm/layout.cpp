// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "layout.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "diffmpm/core/sort.hpp"
#include "diffmpm/mpm/constants.hpp"

namespace diffmpm {
namespace {

using Key = std::uint64_t;

// Bits for the blocks from low to high and their neighbours.
BlockPacking choose_packing(const Index (&low)[3], const Index (&high)[3]) {
  BlockPacking packing{};
  for (int r = 0; r < 3; ++r) {
    packing.low[r] = low[r] - 1;
    packing.bits[r] = std::bit_width(static_cast<unsigned>(high[r] - low[r] + 2));
  }
  return packing;
}

void fill_groups(Layout& layout, const std::vector<Key>& keys, const std::vector<std::uint32_t>& particles,
                 const BlockPacking& packing) {
  std::size_t n = 0;
  while (n < keys.size()) {
    const Key block = keys[n] >> kCellBits;
    std::size_t end = n;
    while (end < keys.size() && keys[end] >> kCellBits == block) ++end;
    ParticleBlock b{};
    b.first_group = static_cast<Index>(layout.group_count());
    b.particle_count = static_cast<Index>(end - n);
    b.group_count = (b.particle_count + kLanes - 1) / kLanes;
    packing.unpack(block, b.coord);
    for (; n < end; ++n) layout.ids.push_back(static_cast<Index>(particles[n]));
    const Index last = layout.ids.back();
    while (layout.ids.size() % kLanes != 0) layout.ids.push_back(~last);
    layout.blocks.push_back(b);
  }
}

void connect(Layout& layout, const BlockPacking& packing) {
  std::vector<Key> keys;
  keys.reserve(layout.blocks.size() * kDirections);
  Index coord[3];
  for (const ParticleBlock& b : layout.blocks)
    for (int d = 0; d < kDirections; ++d) {
      neighbor_coord(b.coord, d, coord);
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
      neighbor_coord(layout.blocks[b].coord, d, coord);
      const auto at = std::lower_bound(keys.begin(), keys.end(), packing.pack(coord)) - keys.begin();
      layout.neighbors[b][d] = static_cast<Index>(at);
      layout.sources[at][opposite(d)] = static_cast<Index>(b);
    }
}

}  // namespace

template <class T>
std::int64_t find_outside(const MpmParams& params, const T* x, std::int64_t count) {
  const StepConstants<T> c = step_constants<T>(params);
  for (std::int64_t p = 0; p < count; ++p)
    if (!inside_grid(c, params.basis, x + 3 * p)) return p;
  return -1;
}

template <class T>
Layout make_layout(const MpmParams& params, const T* x, std::int64_t count) {
  const StepConstants<T> c = step_constants<T>(params);
  Index low[3] = {1 << 30, 1 << 30, 1 << 30}, high[3] = {-(1 << 30), -(1 << 30), -(1 << 30)};
  for (std::int64_t p = 0; p < count; ++p)
    for (int r = 0; r < 3; ++r) {
      const Index block = base_cell(c, params.basis, x + 3 * p, r) / kBlockEdge;
      low[r] = std::min(low[r], block), high[r] = std::max(high[r], block);
    }
  const BlockPacking packing = choose_packing(low, high);
  std::vector<Key> keys(static_cast<std::size_t>(count));
  for (std::int64_t p = 0; p < count; ++p) keys[p] = cell_key(c, params.basis, packing, x + 3 * p);
  std::vector<std::uint32_t> particles(keys.size());
  std::iota(particles.begin(), particles.end(), 0);
  radix_sort(keys, particles, 1);  // more threads take more time in total
  Layout layout;
  layout.ids.reserve(keys.size() + keys.size() / 8);
  fill_groups(layout, keys, particles, packing);
  connect(layout, packing);
  return layout;
}

template Layout make_layout<float>(const MpmParams&, const float*, std::int64_t);
template Layout make_layout<double>(const MpmParams&, const double*, std::int64_t);
template std::int64_t find_outside<float>(const MpmParams&, const float*, std::int64_t);
template std::int64_t find_outside<double>(const MpmParams&, const double*, std::int64_t);

}  // namespace diffmpm
