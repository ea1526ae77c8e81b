// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "native_call.hpp"

#include <atomic>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <thread>

namespace nb = nanobind;

namespace {

std::atomic<bool> closing{false};  // the interpreter shuts down
std::atomic<int> entering{0};      // threads that wait for the GIL or have just acquired it
std::thread::id closing_thread;    // written before `closing`

class Entering {
 public:
  Entering() { ++entering; }
  ~Entering() { --entering; }
};

// Blocks the calling thread forever if it must not acquire the GIL any more.
void stop_if_closing() {
  if (!closing || std::this_thread::get_id() == closing_thread) return;
  --entering;
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

// Runs at exit, before the interpreter abandons other threads: waits for those that already wait for the GIL.
void prepare_exit() {
#ifdef NDEBUG
  // The interpreter does not destroy all objects of threads, interactive sessions and tracebacks: no leak to report.
  nb::set_leak_warnings(false);
#endif
  closing_thread = std::this_thread::get_id();
  closing = true;
  PyThreadState* const state = PyEval_SaveThread();
  while (entering > 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
  PyEval_RestoreThread(state);
}

}  // namespace

void acquire_gil(PyThreadState* state) {
  const Entering waits;
  stop_if_closing();
  PyEval_RestoreThread(state);
}

void check_signals() {
  PyGILState_STATE state{};
  {
    const Entering waits;
    stop_if_closing();
    state = PyGILState_Ensure();
  }
  const bool interrupted = PyErr_CheckSignals() != 0;
  if (interrupted) {
    nb::python_error error;  // fetched while the GIL is held
    PyGILState_Release(state);
    throw error;
  }
  PyGILState_Release(state);
}

namespace {

// Invalid arguments become ConfigError; containers that would be too large become MemoryError.
void translate(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(nb::module_::import_("diffmpm.errors").attr("ConfigError").ptr(), error.what());
  } catch (const std::length_error&) {
    PyErr_NoMemory();
  }
}

}  // namespace

void bind_native_call(nb::module_& m) {
  nb::register_exception_translator(translate);
  m.def("prepare_exit", &prepare_exit);
  nb::module_::import_("atexit").attr("register")(m.attr("prepare_exit"));
  nb::delattr(m, "prepare_exit");
}
