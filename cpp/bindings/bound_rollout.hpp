// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/mpm/rollout.hpp"

// A rollout as Python holds it: with where its arrays are.
template <class T>
struct BoundRollout {
  diffmpm::Rollout<T> rollout;
  int device;    // or kNoDevice
  void* stream;  // of the device, that it works on
};
