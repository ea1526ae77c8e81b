// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/silhouette.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include "diffmpm/core/parallel.hpp"

namespace diffmpm::geometry {
namespace {

// Width of a border of pixels, so that points just outside of an image need no special case.
constexpr std::int64_t kBorder = 2;

}  // namespace

void silhouettes(const double* points, std::int64_t count, const Point& center, double extent, const PictureAxes* axes,
                 std::int64_t views, std::int64_t size, std::uint8_t* out) {
  std::vector<Point> relative(count);
  parallel_for(count, 4096, [&](std::int64_t p) {
    relative[p] = {(points[3 * p] - center.x) / extent, (points[3 * p + 1] - center.y) / extent,
                   (points[3 * p + 2] - center.z) / extent};
  });
  const double half = 0.5 * static_cast<double>(size), last = static_cast<double>(size);
  const std::int64_t side = size + 2 * kBorder;
  parallel_for(views, 1, [&](std::int64_t v) {
    std::vector<std::uint8_t> marked(side * side, 0);
    SparsePoll sparse_poll;
    for (const Point& r : relative) {
      sparse_poll(2);
      const double column = std::floor((dot(r, axes[v].right) + 1.0) * half);
      const double row = std::floor((dot(r, axes[v].up) + 1.0) * half);
      if (!(column >= -1.0 && column <= last && row >= -1.0 && row <= last)) continue;
      const auto i = static_cast<std::int64_t>(row) + kBorder, j = static_cast<std::int64_t>(column) + kBorder;
      marked[i * side + j] = 1;
    }
    std::uint8_t* picture = out + v * size * size;
    for (std::int64_t i = 0; i < size; ++i, sparse_poll(4 * static_cast<std::uint32_t>(size)))
      for (std::int64_t j = 0; j < size; ++j) {
        const std::uint8_t* first = marked.data() + (i + kBorder - 1) * side + j + kBorder - 1;
        std::uint8_t any = 0;
        for (int row = 0; row < 3; ++row, first += side) any |= first[0] | first[1] | first[2];
        picture[i * size + j] = any;
      }
  });
}

void filled_pixels(const std::uint8_t* pictures, std::int64_t count, std::int64_t height, std::int64_t width,
                   std::int64_t* filled) {
  using Pixel = std::pair<std::int64_t, std::int64_t>;
  parallel_for(count, 1, [&](std::int64_t n) {
    const std::uint8_t* picture = pictures + n * height * width;
    std::vector<std::uint8_t> visited(picture, picture + height * width);  // set, or joined to the border
    std::int64_t outside = 0;
    std::vector<Pixel> stack;
    const auto visit = [&](std::int64_t i, std::int64_t j) {
      if (i < 0 || i >= height || j < 0 || j >= width) return;
      std::uint8_t& pixel = visited[i * width + j];
      if (pixel) return;
      pixel = 1, ++outside;
      stack.emplace_back(i, j);
    };
    for (std::int64_t i = 0; i < height; ++i) visit(i, 0), visit(i, width - 1);
    for (std::int64_t j = 0; j < width; ++j) visit(0, j), visit(height - 1, j);
    SparsePoll sparse_poll;
    while (!stack.empty()) {
      sparse_poll(4);
      const auto [i, j] = stack.back();
      stack.pop_back();
      visit(i - 1, j), visit(i + 1, j), visit(i, j - 1), visit(i, j + 1);
    }
    filled[n] = height * width - outside;
  });
}

}  // namespace diffmpm::geometry
