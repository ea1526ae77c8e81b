// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/losses/filters.hpp"

#include "diffmpm/core/memory.hpp"
#include "diffmpm/core/threads.hpp"
#include "diffmpm/losses/losses.hpp"

namespace diffmpm {
namespace {

constexpr int kRun = 8;  // pixels side by side, for vector registers

// One row of an image, blurred along it or across it.
template <class T>
void blur_row(const BlurWeights& w, bool along, int row, int height, int width, const T* in, T* out) {
  const int place = along ? 0 : row, length = along ? width : height;
  const std::int64_t stride = along ? 1 : width;
  int j = 0;
  while (j < width) {
    const int at = along ? j : place;
    if (j + kRun <= width && (!along || (j >= w.reach && j + kRun - 1 + w.reach < width))) {
      blur_pixels<kRun>(w, at, length, stride, in + j, out + j), j += kRun;
    } else {
      blur_pixels<1>(w, at, length, stride, in + j, out + j), ++j;
    }
  }
}

}  // namespace

template <class T>
void blur(std::int64_t count, int height, int width, double sigma, const T* in, T* out) {
  const BlurWeights w = blur_weights(sigma);
  const std::int64_t rows = count * height;
  const Buffer<T> across(static_cast<std::size_t>(rows * width));
  for (const bool along : {false, true}) {
    const T* from = along ? across.data() : in;
    T* to = along ? out : across.data();
#pragma omp parallel for schedule(static) num_threads(thread_count())
    for (std::int64_t n = 0; n < rows; ++n)
      blur_row(w, along, static_cast<int>(n % height), height, width, from + n * width, to + n * width);
  }
}

template <class T>
void pool(std::int64_t count, int height, int width, int size, const T* in, T* out) {
  const Pooling p{height, width, size};
  const std::int64_t rows = p.rows(), columns = p.columns();
#pragma omp parallel for schedule(static) num_threads(thread_count())
  for (std::int64_t n = 0; n < count * rows; ++n)
    for (int column = 0; column < columns; ++column)
      out[n * columns + column] = pooled(p, in + n / rows * height * width, static_cast<int>(n % rows), column);
}

template <class T>
void pool_vjp(std::int64_t count, int height, int width, int size, const T* adj, T* adj_in) {
  const Pooling p{height, width, size};
  const std::int64_t means = std::int64_t{p.rows()} * p.columns();
#pragma omp parallel for schedule(static) num_threads(thread_count())
  for (std::int64_t n = 0; n < count * height; ++n)
    for (int j = 0; j < width; ++j)
      adj_in[n * width + j] = pooled_vjp(p, adj + n / height * means, static_cast<int>(n % height), j);
}

template void blur<float>(std::int64_t, int, int, double, const float*, float*);
template void blur<double>(std::int64_t, int, int, double, const double*, double*);
template void pool<float>(std::int64_t, int, int, int, const float*, float*);
template void pool<double>(std::int64_t, int, int, int, const double*, double*);
template void pool_vjp<float>(std::int64_t, int, int, int, const float*, float*);
template void pool_vjp<double>(std::int64_t, int, int, int, const double*, double*);

}  // namespace diffmpm
