// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "../../emulation.hpp"

// Takes the place of cpp/cuda/core/queue.cuh where DIFFMPM_EMULATE_CUDA compiles the backend for the CPU: streams mean nothing,
// and memory of the device is memory of the host.

namespace diffmpm::cuda {

class Queue : public testing::EmulatedQueue {
 public:
  explicit Queue(void*) {}
  void wait_for(void*) const {}
};

}  // namespace diffmpm::cuda
