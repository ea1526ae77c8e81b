// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>

namespace diffmpm::cuda {

// Whether memory for work on this stream comes from another library.
bool uses_source(int device, void* stream);

// Memory of that library; null if it has none left.
std::shared_ptr<void> take_from_source(std::size_t bytes);

}  // namespace diffmpm::cuda
