// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>

// Binds an enumeration whose values count from 0, with the names that stand beside its enumerators.

template <class Enum, std::size_t kCount>
void bind_enum(nanobind::module_& m, const char* name, const char* const (&names)[kCount]) {
  nanobind::enum_<Enum> bound(m, name);
  for (std::size_t n = 0; n < kCount; ++n) bound.value(names[n], static_cast<Enum>(n));
}
