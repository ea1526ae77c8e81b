// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "diffmpm/core/context.hpp"

// Losses on images: value in double precision, gradient into arrays. Formulas: docs/method.md, section 4.

namespace diffmpm {

enum class ImageLoss : int {
  l1,        // of opacity, smoothed near 0
  l2,        // of opacity or colour
  bce,       // binary cross entropy of opacity
  pyramid,   // squares of blurred differences of opacity
  distance,  // opacity times the distance to the target
  depth,     // depth where the target is opaque
  ssim,      // 1 - structural similarity of opacity or colour
  edges,     // alignment of edges of opacity or colour
  spectrum,  // spread of the logarithms of the eigenvalues of covariances
  size,      // logarithm of the mean radius of covariances
};
inline constexpr const char* kImageLossNames[] = {"l1",    "l2",   "bce",   "pyramid",  "distance",
                                                  "depth", "ssim", "edges", "spectrum", "size"};

// Standard deviation of a Gaussian blur [px], and the factor of the blurred squares in the loss.
struct PyramidScale {
  double sigma, factor;
};

// Images (count, height, width, channels) with 1 channel for opacity and depth, or covariances (count, 3, 3).
template <class T>
struct ImageLossInput {
  ImageLoss loss = ImageLoss::l2;
  std::int64_t count = 0;
  int height = 1, width = 1, channels = 1;
  const T* image = nullptr;          // opacity, colour or covariances
  const T* depth = nullptr;          // accumulated depth, for `depth`
  const T* target = nullptr;         // like image; for `distance` the distance to covered pixels
  const T* target_second = nullptr;  // accumulated depth for `depth`, distance to empty pixels for `distance`
  double length = 1;                 // extent for `depth`, target standard deviation for `size`
  std::vector<PyramidScale> scales;  // for `pyramid`
  T* adj_image = nullptr;            // written
  T* adj_depth = nullptr;            // written, for `depth`

  std::int64_t values() const { return count * height * width * channels; }
};

template <class T>
struct ImageLossFunctions {
  // Value of a loss; the gradient is written. Sums run in a fixed order. Waits for a device. Throws std::invalid_argument for a
  // covariance that is not positive definite.
  double (*evaluate)(const Context&, const ImageLossInput<T>& in);

  static const ImageLossFunctions& host();
  static const ImageLossFunctions& cuda();
};

}  // namespace diffmpm
