// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/silhouette.hpp"

#include <doctest/doctest.h>

#include <numeric>
#include <vector>

using namespace diffmpm;
using geometry::PictureAxes;

TEST_CASE("a point covers 3 x 3 pixels, fewer at the border and none outside") {
  const PictureAxes axes[2] = {{{1, 0, 0}, {0, 1, 0}}, {{0, 1, 0}, {0, 0, 1}}};
  // Image of 8 pixels of unit width, centred at (4, 4, 4).
  const auto covered = [&](double x, double y, double z, int view) {
    const double point[3] = {x, y, z};
    std::vector<std::uint8_t> out(2 * 64);
    geometry::silhouettes(point, 1, {4, 4, 4}, 4.0, axes, 2, 8, out.data());
    return std::accumulate(out.begin() + 64 * view, out.begin() + 64 * (view + 1), 0);
  };
  CHECK(covered(4.5, 4.5, 4.5, 0) == 9);
  CHECK(covered(0.5, 4.5, 4.5, 0) == 6);
  CHECK(covered(0.5, 7.5, 4.5, 0) == 4);
  CHECK(covered(-0.5, 4.5, 4.5, 0) == 3);
  CHECK(covered(-1.5, 4.5, 4.5, 0) == 0);
  CHECK(covered(-1.5, 4.5, 4.5, 1) == 9);
  const double point[3] = {1.5, 6.5, 0};
  std::vector<std::uint8_t> out(64);
  geometry::silhouettes(point, 1, {4, 4, 4}, 4.0, axes, 1, 8, out.data());
  for (int i = 0; i < 8; ++i)
    for (int j = 0; j < 8; ++j) CHECK(out[8 * i + j] == (i >= 5 && i <= 7 && j <= 2 ? 1 : 0));
}

TEST_CASE("holes are filled, notches and corners are not") {
  const std::vector<std::uint8_t> picture = {
      1, 1, 1, 1, 0, 0,  //
      1, 0, 0, 1, 0, 1,  //
      1, 0, 1, 0, 1, 0,  // the zero in the middle is connected to the outside only through corners
      1, 1, 1, 1, 1, 1,  //
      0, 1, 0, 0, 1, 0,  //
  };
  std::int64_t filled = 0;
  geometry::filled_pixels(picture.data(), 1, 5, 6, &filled);
  CHECK(filled == 18 + 4);
}
