// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "diffmpm/geometry/solid_angle.hpp"

namespace diffmpm::geometry {

// An orthographic view: axes to the right and up, orthonormal.
struct PictureAxes {
  Point right, up;
};

// Binary silhouettes of points, out[views][size][size], rows along `up`: each point covers the 3 x 3 pixels about its own,
// cut off at the border. The picture's middle is `center`, half its width `extent`.
void silhouettes(const double* points, std::int64_t count, const Point& center, double extent, const PictureAxes* axes,
                 std::int64_t views, std::int64_t size, std::uint8_t* out);

// filled[n] = pixels of pictures[n][height][width] that are set, or that no path of unset pixels through edges joins to the
// border.
void filled_pixels(const std::uint8_t* pictures, std::int64_t count, std::int64_t height, std::int64_t width,
                   std::int64_t* filled);

}  // namespace diffmpm::geometry
