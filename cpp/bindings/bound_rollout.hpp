// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "diffmpm/mpm/rollout.hpp"

// A rollout, and where its arrays are.
template <class T>
struct BoundRollout {
  std::unique_ptr<diffmpm::Rollout<T>> rollout;
  diffmpm::Context context;
};
