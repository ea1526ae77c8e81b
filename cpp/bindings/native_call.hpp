// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <nanobind/nanobind.h>

#include "diffmpm/core/call.hpp"

// How the bindings run the core: without Python's lock, and so that Ctrl-C ends it.

// Takes the lock again. A daemon thread that asks for it while the interpreter shuts down does not return: Python would end it by
// unwinding its stack, which C++ answers by aborting the process.
void take_lock(PyThreadState* state);

// The check of a `diffmpm::Call`: throws nanobind::python_error after Ctrl-C.
void check_signals();

// Gives the lock away as long as it lives.
class WithoutLock {
 public:
  WithoutLock() : state_(PyEval_SaveThread()) {}
  ~WithoutLock() { take_lock(state_); }
  WithoutLock(const WithoutLock&) = delete;
  WithoutLock& operator=(const WithoutLock&) = delete;

 private:
  PyThreadState* state_;
};

// A call of the core from Python.
class NativeCall {
 private:
  WithoutLock unlocked_;
  diffmpm::Call call_{check_signals};
};
