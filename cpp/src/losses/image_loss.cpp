// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/losses/image_loss.hpp"

#include <algorithm>

#include "diffmpm/core/host_queue.hpp"
#include "diffmpm/losses/image_passes.hpp"

namespace diffmpm {
namespace {

constexpr int kRun = 8;  // adjacent pixels blurred together, for vector registers

// Blurs a row of an image, along the row or across it.
template <class T>
void blur_row(const BlurWeights& w, bool along, int row, int height, int width, const T* in, T* out) {
  const int length = along ? width : height;
  const std::int64_t stride = along ? 1 : width;
  for (int j = 0; j < width;) {
    const int position = along ? j : row;
    if (j + kRun <= width && (!along || (j >= w.reach && j + kRun - 1 + w.reach < width))) {
      blur_pixels<kRun>(w, position, length, stride, in + j, out + j), j += kRun;
    } else {
      blur_pixels<1>(w, position, length, stride, in + j, out + j), ++j;
    }
  }
}

// Number of values below which threads do not pay.
constexpr std::int64_t kSerial = 8192;

struct HostPasses : HostQueue {
  using HostQueue::HostQueue;
  template <class Item>
  void for_rows(std::int64_t rows, int width, const Item& item) {
    parallel_for(rows, std::max<std::int64_t>(1, kSerial / width), [&](std::int64_t row) {
      for (int column = 0; column < width; ++column) item(row, column);
    });
  }
  template <class T>
  void blur(std::int64_t count, int height, int width, double sigma, const T* in, T* out) {
    const BlurWeights w = blur_weights(sigma);
    const std::int64_t rows = count * height;
    const Buffer<T> across = allocate<T>(rows * width);
    for (const bool along : {false, true}) {
      const T* from = along ? across.data() : in;
      T* to = along ? out : across.data();
      parallel_for(rows, std::max<std::int64_t>(1, kSerial / width), [&](std::int64_t n) {
        blur_row(w, along, static_cast<int>(n % height), height, width, from + n * width, to + n * width);
      });
    }
  }
};

template <class T>
double image_loss(const Context& context, const ImageLossInput<T>& in) {
  HostPasses passes(context);
  return image_loss_on(passes, in);
}

}  // namespace

template <class T>
const ImageLossFunctions<T>& ImageLossFunctions<T>::host() {
  static constexpr ImageLossFunctions kTable{image_loss<T>};
  return kTable;
}

template const ImageLossFunctions<float>& ImageLossFunctions<float>::host();
template const ImageLossFunctions<double>& ImageLossFunctions<double>::host();

}  // namespace diffmpm
