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

// An entry of a backend's table: kFunction, whose first argument is a queue, on a queue of the context.
template <auto kFunction>
struct OnQueue;
template <class Queue, class... A, void (*kFunction)(Queue&, A...)>
struct OnQueue<kFunction> {
  static void call(const Context& context, A... args) {
    Queue queue(context);
    kFunction(queue, args...);
  }
};

}  // namespace diffmpm
