// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Properties of the running core: CUDA backend, instruction set, threads.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "diffmpm/core/device.hpp"
#include "diffmpm/core/dispatch.hpp"
#include "diffmpm/core/memory.hpp"
#include "diffmpm/core/threads.hpp"
#include "native_call.hpp"

namespace nb = nanobind;
using namespace nb::literals;

void bind_info(nb::module_& m) {
  m.def("cuda_compiled", &diffmpm::cuda::compiled, "Whether this build contains the CUDA backend.");
  m.def("cuda_device_count", &diffmpm::cuda::device_count, "Number of usable CUDA devices.");
  m.def("cuda_status", &diffmpm::cuda::status, "The usable CUDA devices, or why no device is usable.");
  m.def("thread_count", &diffmpm::thread_count, "Number of threads of the next parallel region.");
  m.def("set_thread_count", &diffmpm::set_thread_count, nb::arg("count"), "Set the number of threads; 0 resets.");
  m.def("limit_thread_count", &diffmpm::limit_thread_count, nb::arg("count"),
        "Limit the threads of native work that this thread starts; 0 resets.");
  m.def("available_memory", &diffmpm::available_memory, "Bytes that this process can still allocate; 0 if unknown.");
  m.def(
      "fingerprint",
      [](const nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>& array) {
        const NativeCall call;
        return diffmpm::fingerprint(array.data(), array.nbytes());
      },
      "array"_a, "Checksum that detects changes of an array.");
  m.def("instruction_set", &diffmpm::instruction_set, "Instruction set in use: base, avx2 or avx512.");
}
