// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

namespace diffmpm {

inline constexpr int kNoDevice = -1;  // the host

// Where a call runs: the first argument of every function that runs on either backend. All arrays of the call are memory of that
// place unless stated otherwise.
struct Context {
  int device = kNoDevice;  // CUDA device, which the caller makes current, or kNoDevice
  void* stream = nullptr;  // cudaStream_t of the device that receives the work; null: its default stream

  bool on_device() const { return device != kNoDevice; }
};

}  // namespace diffmpm
