// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "block_grid.hpp"

#include <cmath>

#include "diffmpm/core/parallel.hpp"

namespace diffmpm::surface {
namespace {

constexpr int kBits = 21;  // of a block coordinate in a key
constexpr std::int64_t kMiddle = std::int64_t{1} << (kBits - 1);
constexpr std::uint64_t kMask = (std::uint64_t{1} << kBits) - 1;
constexpr std::uint64_t kNoKey = ~std::uint64_t{0};
constexpr double kFarthest = static_cast<double>(kMiddle - 8) * kBlock;  // in cells

std::uint64_t key_of(std::int64_t i, std::int64_t j, std::int64_t k) {
  return static_cast<std::uint64_t>(i + kMiddle) << (2 * kBits) | static_cast<std::uint64_t>(j + kMiddle) << kBits |
         static_cast<std::uint64_t>(k + kMiddle);
}

std::int64_t axis_of(std::uint64_t key, int axis) {
  return static_cast<std::int64_t>(key >> ((2 - axis) * kBits) & kMask) - kMiddle;
}

std::size_t hash_of(std::uint64_t key) { return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15u) >> 20); }

// Bit of the block offset (i, j, k) in a set of 27.
std::uint32_t offset_bit(int i, int j, int k) { return std::uint32_t{1} << ((i + 1) * 9 + (j + 1) * 3 + k + 1); }

}  // namespace

BlockGrid::BlockGrid(const double* x, std::int64_t count, double cell, double reach) : cell_(cell) {
  const double margin = reach + 1;
  range_ = static_cast<int>(std::ceil(margin / kBlock));
  for (int a = 0; a < 3; ++a) origin_[a] = x[a];
  table_.assign(1024, -1), table_key_.assign(1024, kNoKey);

  // Home block of each particle, and the offsets of the blocks that it touches.
  std::vector<std::int32_t> home(count);
  std::vector<std::array<float, 3>> local(count);
  std::vector<std::uint64_t> keys(count);
  std::vector<std::uint32_t> near(count);
  parallel_for(count, 1024, [&](std::int64_t p) {
    std::int64_t block[3];
    bool low[3], high[3], inside = true;
    for (int a = 0; a < 3; ++a) {
      const double g = (x[3 * p + a] - origin_[a]) / cell;
      inside = inside && std::abs(g) < kFarthest;
      const double b = inside ? std::floor(g / kBlock) : 0;
      block[a] = static_cast<std::int64_t>(b);
      const double at = g - b * kBlock;
      local[p][a] = static_cast<float>(at);
      low[a] = at - margin<0, high[a] = at + margin> kBlock - 1;
    }
    keys[p] = inside ? key_of(block[0], block[1], block[2]) : kNoKey;
    std::uint32_t bits = 0;
    for (int i = low[0] ? -1 : 0; i <= (high[0] ? 1 : 0); ++i)
      for (int j = low[1] ? -1 : 0; j <= (high[1] ? 1 : 0); ++j)
        for (int k = low[2] ? -1 : 0; k <= (high[2] ? 1 : 0); ++k) bits |= offset_bit(i, j, k);
    near[p] = bits;
  });
  std::vector<std::uint32_t> touched;
  std::uint64_t last_key = kNoKey;
  std::int32_t last = -1;
  for (std::int64_t p = 0; p < count; ++p) {
    if (keys[p] == kNoKey) {
      home[p] = -1;
      continue;
    }
    if (keys[p] != last_key) last_key = keys[p], last = insert(last_key);
    if (static_cast<std::size_t>(last) == touched.size()) touched.push_back(0);
    home[p] = last, touched[last] |= near[p];
  }
  homes_ = size();
  start_.assign(homes_ + 1, 0);
  for (std::int64_t p = 0; p < count; ++p)
    if (home[p] >= 0) ++start_[home[p] + 1];
  for (std::int64_t b = 0; b < homes_; ++b) start_[b + 1] += start_[b];
  particles_.resize(start_[homes_]);
  std::vector<std::int32_t> next(start_.begin(), start_.end());
  for (std::int64_t p = 0; p < count; ++p)
    if (home[p] >= 0)
      particles_[next[home[p]]++] = {local[p][0], local[p][1], local[p][2], static_cast<std::int32_t>(p)};

  for (std::int64_t b = 0; b < homes_; ++b) {
    const std::int64_t at[3] = {axis_of(coordinates_[b], 0), axis_of(coordinates_[b], 1), axis_of(coordinates_[b], 2)};
    for (int i = -range_; i <= range_; ++i)
      for (int j = -range_; j <= range_; ++j)
        for (int k = -range_; k <= range_; ++k)
          if (range_ > 1 || touched[b] & offset_bit(i, j, k)) insert(key_of(at[0] + i, at[1] + j, at[2] + k));
  }
  neighbours_.resize(coordinates_.size());
  parallel_for(size(), 64, [&](std::int64_t b) {
    for (int i = -1; i <= 1; ++i)
      for (int j = -1; j <= 1; ++j)
        for (int k = -1; k <= 1; ++k)
          neighbours_[b][static_cast<std::size_t>((i + 1) * 9 + (j + 1) * 3 + k + 1)] = at_offset(b, i, j, k);
  });
}

std::array<std::int64_t, 3> BlockGrid::corner(std::int64_t block) const {
  const std::uint64_t key = coordinates_[block];
  return {kBlock * axis_of(key, 0), kBlock * axis_of(key, 1), kBlock * axis_of(key, 2)};
}

std::int32_t BlockGrid::at_offset(std::int64_t block, int i, int j, int k) const {
  const std::uint64_t key = coordinates_[block];
  return find(key_of(axis_of(key, 0) + i, axis_of(key, 1) + j, axis_of(key, 2) + k));
}

std::int32_t BlockGrid::find(std::uint64_t key) const {
  const std::size_t mask = table_.size() - 1;
  for (std::size_t slot = hash_of(key) & mask;; slot = (slot + 1) & mask) {
    if (table_key_[slot] == key) return table_[slot];
    if (table_key_[slot] == kNoKey) return -1;
  }
}

std::int32_t BlockGrid::insert(std::uint64_t key) {
  const std::size_t mask = table_.size() - 1;
  std::size_t slot = hash_of(key) & mask;
  for (; table_key_[slot] != kNoKey; slot = (slot + 1) & mask)
    if (table_key_[slot] == key) return table_[slot];
  const auto block = static_cast<std::int32_t>(coordinates_.size());
  table_key_[slot] = key, table_[slot] = block;
  coordinates_.push_back(key);
  if (2 * coordinates_.size() > table_.size()) grow();
  return block;
}

void BlockGrid::grow() {
  const std::size_t size = 4 * table_.size(), mask = size - 1;
  table_.assign(size, -1), table_key_.assign(size, kNoKey);
  for (std::size_t b = 0; b < coordinates_.size(); ++b) {
    std::size_t slot = hash_of(coordinates_[b]) & mask;
    while (table_key_[slot] != kNoKey) slot = (slot + 1) & mask;
    table_key_[slot] = coordinates_[b], table_[slot] = static_cast<std::int32_t>(b);
  }
}

void BlockGrid::load(const float* values, std::int64_t block, float outside, float* tile) const {
  const auto range = [](int offset, int& begin, int& end) {
    begin = offset < 0 ? -1 : (offset > 0 ? kBlock : 0), end = offset < 0 ? 0 : (offset > 0 ? kBlock + 1 : kBlock);
  };
  for (int a = -1; a <= 1; ++a)
    for (int b = -1; b <= 1; ++b)
      for (int c = -1; c <= 1; ++c) {
        const std::int32_t from = neighbour(block, a, b, c);
        int i0, i1, j0, j1, k0, k1;
        range(a, i0, i1), range(b, j0, j1), range(c, k0, k1);
        for (int i = i0; i < i1; ++i)
          for (int j = j0; j < j1; ++j)
            for (int k = k0; k < k1; ++k)
              tile[tile_node(i, j, k)] = from < 0 ? outside
                                                  : values[from * std::int64_t{kBlockNodes} +
                                                           node_of(i - kBlock * a, j - kBlock * b, k - kBlock * c)];
      }
}

}  // namespace diffmpm::surface
