// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <nanobind/nanobind.h>

#include "diffmpm/core/call.hpp"

// Calls of the core from Python: without the GIL, and interruptible by Ctrl-C.

// Acquires the GIL. Does not return on a daemon thread while the interpreter shuts down: Python would unwind its stack, for which C++
// aborts the process.
void acquire_gil(PyThreadState* state);

// The check of a `diffmpm::Call`: throws nanobind::python_error after Ctrl-C.
void check_signals();

// Scope without the GIL.
class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease() { acquire_gil(state_); }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* state_;
};

// Scope of a call of the core.
class NativeCall {
 private:
  GilRelease unlocked_;
  diffmpm::Call call_{check_signals};
};
