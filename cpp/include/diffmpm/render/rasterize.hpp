// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>

#include "diffmpm/core/memory.hpp"

// Differentiable rasterisation of Gaussians on the CPU: C images of N Gaussians (docs/method.md, section 6).

namespace diffmpm {

// Arrays of the caller, row-major; they must live and stay unchanged as long as the adjoint is asked for.
template <class T>
struct RasterInput {
  std::int64_t count = 0;        // Gaussians N
  int channels = 3;              // K, at least 1
  int cameras = 1;               // C
  int width = 0, height = 0;     // [px]
  const T* means = nullptr;      // (N, 3) [m]
  const T* covars = nullptr;     // (N, 3, 3) [m^2]; used as its symmetric part. Or null, and instead:
  const T* quats = nullptr;      // (N, 4), w x y z, any length above 0
  const T* scales = nullptr;     // (N, 3) [m]
  const T* opacities = nullptr;  // (N)
  const T* colors = nullptr;     // (N, K), or (C, N, K) with colors_per_camera
  bool colors_per_camera = false;
  const T* backgrounds = nullptr;      // (C, K), or null for zeros
  const double* viewmats = nullptr;    // (C, 4, 4), world to camera, OpenCV axes
  const double* intrinsics = nullptr;  // (C, 3, 3)
};

// Why a Gaussian takes part in an image, or does not.
enum class SplatStatus : std::uint8_t {
  visible,
  near_plane,   // closer than kNearPlane, or behind the camera
  outside,      // reaches no pixel's cell
  transparent,  // opacity below kAlphaMin
  not_finite,   // an input or the projection is NaN or infinite
  degenerate,   // the covariance is not positive semi-definite, or the quaternion is 0
};
inline constexpr int kStatusCount = 6;

// Cotangents of the images; null where zero.
template <class T>
struct RasterAdjoint {
  const T* color = nullptr;  // (C, H, W, K)
  const T* alpha = nullptr;  // (C, H, W)
  const T* depth = nullptr;  // (C, H, W)
};

// Where the gradients go; null where not wanted. Everything is overwritten.
template <class T>
struct RasterGradients {
  T* means = nullptr;
  T* covars = nullptr;  // symmetric
  T* quats = nullptr;   // with scales
  T* scales = nullptr;
  T* opacities = nullptr;
  T* colors = nullptr;
  T* backgrounds = nullptr;
  double* viewmats = nullptr;  // (C, 4, 4), last row 0
};

// The images of one call, with what their adjoint needs: the projected Gaussians, the tiles' lists, and for each pixel the
// transmittance and the end of its list.
template <class T>
class Rasterization {
 public:
  // Throws std::invalid_argument if the lists become longer than 32 bits can count.
  explicit Rasterization(const RasterInput<T>& input);
  ~Rasterization();
  Rasterization(const Rasterization&) = delete;
  Rasterization& operator=(const Rasterization&) = delete;

  const Buffer<T>& color() const;    // (C, H, W, K)
  const Buffer<T>& alpha() const;    // (C, H, W)
  const Buffer<T>& depth() const;    // (C, H, W), sum of weight * z [m]
  const Buffer<T>& means2d() const;  // (C, N, 2) [px]
  const Buffer<T>& extents() const;  // (C, N, 2), half width and height of the ellipse [px]; 0 where not visible
  const Buffer<T>& depths() const;   // (C, N) [m]
  // Gaussians of each SplatStatus, (C, kStatusCount), and list entries, (C).
  const std::int64_t* status_counts() const;
  const std::int64_t* entry_counts() const;
  const RasterInput<T>& input() const;

  void vjp(const RasterAdjoint<T>& adj, const RasterGradients<T>& out) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

extern template class Rasterization<float>;
extern template class Rasterization<double>;

}  // namespace diffmpm
