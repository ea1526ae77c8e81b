// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "core/block.cuh"
#include "diffmpm/core/memory.hpp"
#include "diffmpm/losses/filters.hpp"

// Filters of images, as cpp/src/losses/filters.cpp has them: a thread a pixel.

namespace diffmpm::cuda {

template <class T>
struct BlurPixel {
  std::int64_t count;  // pixels of all images
  BlurWeights weights;
  int height, width;
  bool along;  // rows
  const T* in;
  T* out;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    const int place = static_cast<int>(along ? n % width : n / width % height);
    blur_pixels<1>(weights, place, along ? width : height, along ? 1 : width, in + n, out + n);
  }
};

template <class T>
struct PoolPixel {
  std::int64_t count;  // means
  Pooling pooling;
  const T* in;
  T* out;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    const int column = static_cast<int>(n % pooling.columns());
    const std::int64_t row = n / pooling.columns();
    const T* image = in + row / pooling.rows() * pooling.height * pooling.width;
    out[n] = pooled(pooling, image, static_cast<int>(row % pooling.rows()), column);
  }
};

template <class T>
struct PoolPixelVjp {
  std::int64_t count;  // pixels
  Pooling pooling;
  const T* adj;
  T* adj_in;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    const std::int64_t row = n / pooling.width;
    const T* image = adj + row / pooling.height * pooling.rows() * pooling.columns();
    adj_in[n] = pooled_vjp(pooling, image, static_cast<int>(row % pooling.height), static_cast<int>(n % pooling.width));
  }
};

template <class T, class Queue>
void blur_on(Queue& queue, std::int64_t count, int height, int width, double sigma, const T* in, T* out) {
  const std::int64_t pixels = count * height * width;
  const BlurWeights weights = blur_weights(sigma);
  const Buffer<T> across = queue.template allocate<T>(pixels);
  queue.for_all(BlurPixel<T>{pixels, weights, height, width, false, in, across.data()});
  queue.for_all(BlurPixel<T>{pixels, weights, height, width, true, across.data(), out});
}

template <class T, class Queue>
void pool_on(Queue& queue, std::int64_t count, const Pooling& p, const T* in, T* out) {
  queue.for_all(PoolPixel<T>{count * p.rows() * p.columns(), p, in, out});
}

template <class T, class Queue>
void pool_vjp_on(Queue& queue, std::int64_t count, const Pooling& p, const T* adj, T* adj_in) {
  queue.for_all(PoolPixelVjp<T>{count * p.height * p.width, p, adj, adj_in});
}

}  // namespace diffmpm::cuda
