// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include "diffmpm/losses/losses.hpp"

namespace diffmpm {

template <class T>
void transport_loss(const Context&, const TransportOptions& options, const T* m, const T* target, T* dual, T* adj_m,
                    double* value);
}  // namespace diffmpm
