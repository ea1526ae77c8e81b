// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "losses/image_loss.cuh"

#include "core/queue.cuh"

namespace diffmpm::cuda {

template <class T>
double image_loss(const ImageLossInput<T>& in, void* stream) {
  DevicePasses<Queue> passes{Queue(stream)};
  return image_loss_on(passes, in);
}

template double image_loss<float>(const ImageLossInput<float>&, void*);
template double image_loss<double>(const ImageLossInput<double>&, void*);

}  // namespace diffmpm::cuda
