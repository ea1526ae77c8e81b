// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/geometry/solid_angle.hpp"

namespace diffmpm::geometry {

// Orthonormal axes of an orthographic view.
struct PictureAxes {
  Point right, up;
};

// Binary silhouettes of points, out[views][size][size], rows along `up`. Each point covers the 3 x 3 pixels around its own, cut
// off at the border. Images are centred at `center` and `extent` is half their width.
void silhouettes(const double* points, std::int64_t count, const Point& center, double extent, const PictureAxes* axes,
                 std::int64_t views, std::int64_t size, std::uint8_t* out);

// filled[n] = number of pixels of pictures[n][height][width] that are set or enclosed: unset pixels that no 4-connected path of
// unset pixels joins to the border.
void filled_pixels(const std::uint8_t* pictures, std::int64_t count, std::int64_t height, std::int64_t width,
                   std::int64_t* filled);

}  // namespace diffmpm::geometry
