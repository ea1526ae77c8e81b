// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "diffmpm/geometry/solid_angle.hpp"

namespace diffmpm::geometry {

// A node of a binary tree over items in tree order.
struct TreeRange {
  std::int32_t begin = 0, end = 0;  // range of items
  std::int32_t right = -1;          // second child; the first is the next node; -1 in a leaf
};

// Splits at the median along the widest axis of the centres until a node has at most `leaf_size` items, whose centres lie within
// `widest` along each axis, or one item, and sorts `order`, the indices of the items. Ties go by index, so that the tree is the
// same on every platform. Without items there is no node. The depth is at most log2 of the number of items.
std::vector<TreeRange> median_tree(const std::vector<Point>& centers, std::int32_t leaf_size,
                                   std::vector<std::int32_t>& order,
                                   double widest = std::numeric_limits<double>::infinity());

}  // namespace diffmpm::geometry
