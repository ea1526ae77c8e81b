// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "losses/image_loss.cuh"

#include "core/queue.cuh"

namespace diffmpm {
namespace {

template <class T>
double image_loss(const Context& context, const ImageLossInput<T>& in) {
  cuda::DevicePasses<cuda::Queue> passes{cuda::Queue(context)};
  return image_loss_on(passes, in);
}

}  // namespace

template <class T>
const ImageLossFunctions<T>& ImageLossFunctions<T>::cuda() {
  static constexpr ImageLossFunctions kTable{image_loss<T>};
  return kTable;
}

template const ImageLossFunctions<float>& ImageLossFunctions<float>::cuda();
template const ImageLossFunctions<double>& ImageLossFunctions<double>::cuda();

}  // namespace diffmpm
