// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/mpm/rollout.hpp"

// A rollout as Python holds it: with the place of its arrays.
template <class T>
struct BoundRollout {
  diffmpm::Rollout<T> rollout;
  bool on_device;
  void* stream;  // that it works on
};
