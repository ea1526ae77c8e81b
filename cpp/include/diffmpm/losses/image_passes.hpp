// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "diffmpm/core/arrays.hpp"
#include "diffmpm/core/memory.hpp"
#include "diffmpm/losses/filters.hpp"
#include "diffmpm/losses/image_loss.hpp"
#include "diffmpm/losses/image_terms.hpp"

// Image losses as sequences of passes, shared by both backends. `Passes` is a queue with two more methods:
//
//   void for_rows(rows, width, item);                   item(row, column), in any order
//   void blur(count, height, width, sigma, in, out);    Gaussian blur of planes, extended by zeros
//
// A loss of pixels is the mean over them.

DIFFMPM_BEGIN_ISA

// Pixels are averaged in squares before a wide blur, as long as its standard deviation in averaged pixels is at least this.
inline constexpr double kPooledSigma = 1.5;

template <class Pixel, class T>
struct PixelTerm {
  const T *image, *target;
  T scale;  // 1 / values
  T* adj;

  DIFFMPM_HD double operator()(std::int64_t n) const {
    T adj_n;
    const T value = Pixel::value(image[n], target[n], adj_n);
    adj[n] = scale * adj_n;
    return static_cast<double>(value);
  }
};

// Eq. 4.3.
template <class T>
struct DistanceTerm {
  const T *image, *to_covered, *to_empty;
  T scale;
  T* adj;

  DIFFMPM_HD double operator()(std::int64_t n) const {
    adj[n] = scale * (to_covered[n] - to_empty[n]);
    return static_cast<double>(image[n] * to_covered[n] + (T(1) - image[n]) * to_empty[n]);
  }
};

template <class T>
struct DepthTerm {
  const T *image, *depth, *target, *target_depth;
  T extent, scale;
  T *adj_image, *adj_depth;

  DIFFMPM_HD double operator()(std::int64_t n) const {
    T adj_a, adj_d;
    const T value = depth_pixel(image[n], depth[n], target[n], target_depth[n], extent, adj_a, adj_d);
    adj_image[n] = scale * adj_a, adj_depth[n] = scale * adj_d;
    return static_cast<double>(value);
  }
};

template <class Logs, class T>
struct CovarianceTerm {
  Logs logs;
  const T* covars;
  double scale;  // 1 / covariances
  T* adj;

  DIFFMPM_HD CovarianceSum operator()(std::int64_t n) const {
    return covariance_loss(logs, covars + 9 * n, scale, adj + 9 * n);
  }
};

// Means in a row and column.
template <class T>
struct PoolItem {
  Pooling pooling;
  const T* in;
  T* out;

  DIFFMPM_HD void operator()(std::int64_t row, int column) const {
    const T* image = in + row / pooling.rows() * pooling.height * pooling.width;
    out[row * pooling.columns() + column] = pooled(pooling, image, static_cast<int>(row % pooling.rows()), column);
  }
};

// Adds `factor` times the adjoint of PoolItem.
template <class T>
struct PoolVjpItem {
  Pooling pooling;
  T factor;
  const T* adj;
  T* adj_in;

  DIFFMPM_HD void operator()(std::int64_t row, int column) const {
    const T* image = adj + row / pooling.height * pooling.rows() * pooling.columns();
    adj_in[row * pooling.width + column] +=
        factor * pooled_vjp(pooling, image, static_cast<int>(row % pooling.height), column);
  }
};

// Planes of x, y, x^2, y^2 and x y, one per channel, from images with interleaved channels.
template <class T>
struct MomentsItem {
  std::int64_t count, pixels;  // number of values, and of pixels per image
  int channels;
  const T *x, *y;
  T* planes;

  DIFFMPM_HD std::int64_t plane_index(std::int64_t n) const {
    const std::int64_t pixel = n / channels;
    return (pixel / pixels * channels + n % channels) * pixels + pixel % pixels;
  }
  DIFFMPM_HD void operator()(std::int64_t n) const {
    T* out = planes + plane_index(n);
    out[0] = x[n], out[count] = y[n];
    out[2 * count] = x[n] * x[n], out[3 * count] = y[n] * y[n], out[4 * count] = x[n] * y[n];
  }
};

// Similarity from blurred planes; writes the derivatives with respect to those of x, x^2 and x y.
template <class T>
struct SimilarityTerm {
  std::int64_t count;
  const T* blurred;
  T* adj;

  DIFFMPM_HD double operator()(std::int64_t n) const {
    const T* b = blurred + n;
    return static_cast<double>(similarity(b[0], b[count], b[2 * count], b[3 * count], b[4 * count], adj[n],
                                          adj[count + n], adj[2 * count + n]));
  }
};

// Adjoint of MomentsItem with respect to x.
template <class T>
struct MomentsVjpItem {
  std::int64_t count;
  MomentsItem<T> moments;
  const T* adj_planes;
  T scale;
  T* adj;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    const T* a = adj_planes + moments.plane_index(n);
    adj[n] = scale * (a[0] + T(2) * moments.x[n] * a[count] + moments.y[n] * a[2 * count]);
  }
};

// Slopes of images with interleaved channels: central differences along rows and columns, zero at the border.
struct SlopeGrid {
  int height, width, channels;

  // Distance in memory of adjacent pixels along an axis (0: along the row).
  DIFFMPM_HD std::int64_t stride(int axis) const { return axis == 0 ? channels : std::int64_t{width} * channels; }
  // Column and row of a value.
  DIFFMPM_HD void locate_value(std::int64_t n, int (&at)[2]) const {
    const std::int64_t row = n / stride(1);
    at[0] = static_cast<int>(n - row * stride(1)) / channels, at[1] = static_cast<int>(row % height);
  }
  // Whether a column or row is off the border.
  DIFFMPM_HD bool inside(int axis, int at) const { return at > 0 && at < (axis == 0 ? width : height) - 1; }
  template <class T>
  DIFFMPM_HD void slopes(const T* image, std::int64_t n, const int (&at)[2], T (&out)[2]) const {
    for (int axis = 0; axis < 2; ++axis) {
      const std::int64_t s = stride(axis);
      out[axis] = inside(axis, at[axis]) ? T(0.5) * (image[n + s] - image[n - s]) : T(0);
    }
  }
};

// Sums over the pixels of edge_pixel and of the slopes of the target.
struct EdgeSums {
  double value, slopes;
  DIFFMPM_HD EdgeSums& operator+=(const EdgeSums& o) {
    value += o.value, slopes += o.slopes;
    return *this;
  }
};

template <class T>
struct EdgeTerm {
  SlopeGrid grid;
  std::int64_t count;
  const T *image, *target;
  T* adj_slopes;  // two planes

  DIFFMPM_HD EdgeSums operator()(std::int64_t n) const {
    int at[2];
    T g[2], h[2], adj_g[2];
    grid.locate_value(n, at);
    grid.slopes(image, n, at, g), grid.slopes(target, n, at, h);
    const T value = edge_pixel(g, h, adj_g);
    for (int axis = 0; axis < 2; ++axis) adj_slopes[axis * count + n] = adj_g[axis];
    return {static_cast<double>(value), static_cast<double>(std::sqrt(h[0] * h[0] + h[1] * h[1]))};
  }
};

// Adjoint of the slopes, divided by the sum of all slopes of the target; zero for a target without edges.
template <class T>
struct SlopesVjpItem {
  std::int64_t count;
  SlopeGrid grid;
  const T* adj_slopes;
  const EdgeSums* sums;
  T* adj;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    int at[2];
    T sum(0);
    grid.locate_value(n, at);
    for (int axis = 0; axis < 2; ++axis) {
      const T* adj_slope = adj_slopes + axis * count;
      const std::int64_t s = grid.stride(axis);
      if (grid.inside(axis, at[axis] - 1)) sum += adj_slope[n - s];
      if (grid.inside(axis, at[axis] + 1)) sum -= adj_slope[n + s];
    }
    adj[n] = sums->slopes > 0 ? T(0.5) * sum / static_cast<T>(sums->slopes) : T(0);
  }
};

// Eq. 4.2: sum over scales of factor * mean of (B (image - target))^2, with wide blurs on averaged pixels.
template <class T, class Passes>
double pyramid_loss(Passes& passes, const ImageLossInput<T>& in) {
  const std::int64_t pixels = in.values();
  const auto scales = static_cast<std::int64_t>(in.scales.size());
  const Buffer<T> difference = passes.template allocate<T>(pixels), means = passes.template allocate<T>(pixels),
                  blurred = passes.template allocate<T>(pixels);
  const Buffer<double> totals = passes.template allocate<double>(scales);
  passes.for_all(AddScaledItem<T>{pixels, in.image, T(-1), in.target, difference.data()});
  passes.clear(in.adj_image, pixels);
  std::vector<double> factors;
  for (std::int64_t k = 0; k < scales; ++k) {
    const PyramidScale& scale = in.scales[k];
    Pooling p{in.height, in.width, 1};
    while (scale.sigma >= 2 * p.size * kPooledSigma) p.size *= 2;
    const std::int64_t count = in.count * p.rows() * p.columns();
    factors.push_back(scale.factor / static_cast<double>(count));
    const double sigma = scale.sigma / p.size;
    const T *input = difference.data(), *filtered = input, *adj = input;
    if (p.size > 1) {
      passes.for_rows(in.count * p.rows(), p.columns(), PoolItem<T>{p, input, means.data()});
      input = filtered = adj = means.data();
    }
    if (sigma > 0) {
      passes.blur(in.count, p.rows(), p.columns(), sigma, input, blurred.data());
      filtered = blurred.data(), adj = means.data();
    }
    put_sum(passes, count, DotTerm<T>{filtered, filtered}, totals.data() + k);
    if (sigma > 0) passes.blur(in.count, p.rows(), p.columns(), sigma, filtered, means.data());
    const auto factor = static_cast<T>(2 * factors.back());
    passes.for_rows(in.count * in.height, in.width, PoolVjpItem<T>{p, factor, adj, in.adj_image});
  }
  std::vector<double> sums(in.scales.size());
  passes.to_host(sums.data(), totals.data(), scales);
  double value = 0;
  for (std::size_t k = 0; k < sums.size(); ++k) value += factors[k] * sums[k];
  return value;
}

// 1 - mean structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004).
template <class T, class Passes>
double ssim_loss(Passes& passes, const ImageLossInput<T>& in) {
  const std::int64_t count = in.values(), images = in.count * in.channels;
  const Buffer<T> planes = passes.template allocate<T>(5 * count), blurred = passes.template allocate<T>(5 * count);
  const std::int64_t pixels = std::int64_t{in.height} * in.width;
  const MomentsItem<T> moments{count, pixels, in.channels, in.image, in.target, planes.data()};
  passes.for_all(moments);
  passes.blur(5 * images, in.height, in.width, kSsimSigma, planes.data(), blurred.data());
  const Buffer<double> total = passes.template allocate<double>(1);
  put_sum(passes, count, SimilarityTerm<T>{count, blurred.data(), planes.data()}, total.data());
  passes.blur(3 * images, in.height, in.width, kSsimSigma, planes.data(), blurred.data());
  const T scale = T(-1) / static_cast<T>(count);
  passes.for_all(MomentsVjpItem<T>{count, moments, blurred.data(), scale, in.adj_image});
  double sum = 0;
  passes.to_host(&sum, total.data(), 1);
  return 1 - sum / static_cast<double>(count);
}

// Sum of edge_pixel over the sum of the slopes of the target.
template <class T, class Passes>
double edge_loss(Passes& passes, const ImageLossInput<T>& in) {
  const std::int64_t count = in.values();
  const SlopeGrid grid{in.height, in.width, in.channels};
  const Buffer<T> adj_slopes = passes.template allocate<T>(2 * count);
  const Buffer<EdgeSums> total = passes.template allocate<EdgeSums>(1);
  put_sum(passes, count, EdgeTerm<T>{grid, count, in.image, in.target, adj_slopes.data()}, total.data());
  passes.for_all(SlopesVjpItem<T>{count, grid, adj_slopes.data(), total.data(), in.adj_image});
  EdgeSums sums;
  passes.to_host(&sums, total.data(), 1);
  return sums.slopes > 0 ? sums.value / sums.slopes : 0;
}

template <class Logs, class T, class Passes>
double covariance_loss(Passes& passes, const ImageLossInput<T>& in, const Logs& logs) {
  const auto count = static_cast<double>(in.count);
  const auto sum = sum_terms(passes, in.count, CovarianceTerm<Logs, T>{logs, in.image, 1 / count, in.adj_image});
  if (sum.invalid > 0) {
    std::ostringstream message;
    message << "covars: expected positive definite matrices, got an eigenvalue of " << sum.lowest;
    throw std::invalid_argument(message.str());
  }
  return sum.value / count;
}

template <class T, class Passes>
double image_loss_on(Passes& passes, const ImageLossInput<T>& in) {
  const std::int64_t count = in.values();
  const T scale = T(1) / static_cast<T>(count), extent = static_cast<T>(in.length);
  const auto mean = [&](const auto& term) { return sum_terms(passes, count, term) / static_cast<double>(count); };
  switch (in.loss) {
    case ImageLoss::l1: return mean(PixelTerm<AbsolutePixel, T>{in.image, in.target, scale, in.adj_image});
    case ImageLoss::l2: return mean(PixelTerm<SquarePixel, T>{in.image, in.target, scale, in.adj_image});
    case ImageLoss::bce: return mean(PixelTerm<CrossEntropyPixel, T>{in.image, in.target, scale, in.adj_image});
    case ImageLoss::pyramid: return pyramid_loss(passes, in);
    case ImageLoss::distance: return mean(DistanceTerm<T>{in.image, in.target, in.target_second, scale, in.adj_image});
    case ImageLoss::depth:
      return mean(
          DepthTerm<T>{in.image, in.depth, in.target, in.target_second, extent, scale, in.adj_image, in.adj_depth});
    case ImageLoss::ssim: return ssim_loss(passes, in);
    case ImageLoss::edges: return edge_loss(passes, in);
    case ImageLoss::spectrum: return covariance_loss(passes, in, SpectrumLogs{});
    case ImageLoss::size: return covariance_loss(passes, in, SizeLogs{std::log(in.length)});
  }
  throw std::invalid_argument("loss: expected a value of ImageLoss");
}

DIFFMPM_END_ISA
