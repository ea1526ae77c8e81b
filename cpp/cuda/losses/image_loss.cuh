// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "core/sums.cuh"
#include "diffmpm/losses/image_passes.hpp"

// Passes of the image losses with one thread per value.

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
    const int position = static_cast<int>(along ? n % width : n / width % height);
    blur_pixels<1>(weights, position, along ? width : height, along ? 1 : width, in + n, out + n);
  }
};

template <class Item>
struct RowsItem {
  std::int64_t count;
  int width;
  Item item;

  DIFFMPM_HD void operator()(std::int64_t n) const { item(n / width, static_cast<int>(n % width)); }
};

template <class Queue>
struct DevicePasses : Queue {
  template <class Item>
  void for_rows(std::int64_t rows, int width, const Item& item) {
    this->for_all(RowsItem<Item>{rows * width, width, item});
  }
  template <class T>
  void blur(std::int64_t count, int height, int width, double sigma, const T* in, T* out) {
    const std::int64_t pixels = count * height * width;
    const BlurWeights weights = blur_weights(sigma);
    const Buffer<T> across = this->template allocate<T>(pixels);
    this->for_all(BlurPixel<T>{pixels, weights, height, width, false, in, across.data()});
    this->for_all(BlurPixel<T>{pixels, weights, height, width, true, across.data(), out});
  }
};

}  // namespace diffmpm::cuda
