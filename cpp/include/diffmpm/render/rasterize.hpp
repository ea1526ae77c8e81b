// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "diffmpm/core/context.hpp"
#include "diffmpm/core/macros.hpp"
#include "diffmpm/core/memory.hpp"

// Differentiable rasterisation of N Gaussians into C images (docs/method.md, section 6).

namespace diffmpm {

inline constexpr double kNearPlane = 0.01;  // default [m]

// Arrays of the caller, row-major. They must stay alive and unchanged until the last adjoint is computed.
template <class T>
struct RasterInput {
  std::int64_t count = 0;          // Gaussians N
  int channels = 3;                // K, at least 1
  int cameras = 1;                 // C
  int width = 0, height = 0;       // [px]
  double near_plane = kNearPlane;  // [m], above 0: Gaussians with a mean closer to the plane of the camera are culled
  const T* means = nullptr;        // (N, 3) [m]
  const T* covars = nullptr;       // (N, 3, 3) [m^2], of which the symmetric part is used; or null, with:
  const T* quats = nullptr;        // (N, 4), w x y z, any length above 0
  const T* scales = nullptr;       // (N, 3) [m]
  const T* opacities = nullptr;    // (N)
  const T* colors = nullptr;       // (N, K), or (C, N, K) with colors_per_camera
  bool colors_per_camera = false;
  const T* backgrounds = nullptr;      // (C, K), or null for zeros
  const double* viewmats = nullptr;    // (C, 4, 4), world to camera, OpenCV axes
  const double* intrinsics = nullptr;  // (C, 3, 3)
  bool cameras_on_device = false;      // matrices and their gradient are device memory, not host memory

  // Index of the first channel of Gaussian g in `colors` and their gradient.
  DIFFMPM_HD std::int64_t color_index(int camera, std::int64_t g) const {
    return (colors_per_camera ? camera * count + g : g) * channels;
  }
};

// Whether a Gaussian is drawn in an image, or why not.
enum class SplatStatus : std::uint8_t {
  visible,
  near_plane,   // closer than the near plane, or behind the camera
  outside,      // reaches no cell of the image
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

// Output arrays of the gradients; null for those not requested. All are overwritten.
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
  T* means2d = nullptr;        // (C, N, 2) of the projected means [px], 0 where not visible

  // Whether any gradient but that of the backgrounds is requested.
  bool of_splats() const { return means || covars || quats || scales || opacities || colors || viewmats || means2d; }
};

// Images and projected Gaussians.
template <class T>
struct DrawnImages {
  Buffer<T> color;                     // (C, H, W, K)
  Buffer<T> alpha;                     // (C, H, W)
  Buffer<T> depth;                     // (C, H, W), sum of weight * z [m]
  Buffer<T> means2d;                   // (C, N, 2) [px]
  Buffer<T> extents;                   // (C, N, 2), half width and height of the ellipse [px]; 0 where not visible
  Buffer<T> depths;                    // (C, N) [m]
  Buffer<std::int64_t> status_counts;  // (C, kStatusCount), Gaussians of each SplatStatus
  Buffer<std::int64_t> entry_counts;   // (C), list entries
};

// The images of one call, with what their adjoint needs: the projected Gaussians, the tiles' lists, and for each pixel the
// transmittance and the end of its list.
template <class T>
class Rasterization {
 public:
  virtual ~Rasterization() = default;
  virtual const RasterInput<T>& input() const = 0;
  virtual const DrawnImages<T>& images() const = 0;
  // Gaussians of each SplatStatus, (C, kStatusCount), and list entries, (C).
  virtual std::vector<std::int64_t> status_counts() const = 0;
  virtual std::vector<std::int64_t> entry_counts() const = 0;
  virtual void vjp(const RasterAdjoint<T>& adj, const RasterGradients<T>& out) const = 0;
};

template <class T>
struct RenderFunctions {
  // Throws std::invalid_argument if the lists become longer than 32 bits can count. Waits for a device once, for the length of the
  // lists; its stream must outlive the rasterization. Camera matrices and their gradient are on the host unless `cameras_on_device`;
  // those on a device are checked, with std::invalid_argument, as the caller cannot do it without waiting.
  std::unique_ptr<Rasterization<T>> (*rasterize)(const Context&, const RasterInput<T>& input);

  static const RenderFunctions& host();
  static const RenderFunctions& cuda();
};

}  // namespace diffmpm
