// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>

// Lets Ctrl-C end a long run: throws nanobind::python_error. Asks Python at most every 50 ms, because taking the GIL costs.
std::function<void()> make_poll();
