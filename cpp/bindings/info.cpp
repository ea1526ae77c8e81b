// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Facts about the running core: device backend, instruction set, threads.
#include <nanobind/nanobind.h>

#include "diffmpm/core/device.hpp"

namespace nb = nanobind;

void bind_info(nb::module_& m) {
  m.def("cuda_compiled", &diffmpm::cuda::compiled, "Whether this build contains the CUDA backend.");
  m.def("cuda_device_count", &diffmpm::cuda::device_count, "Number of usable CUDA devices.");
  m.def("cuda_status", &diffmpm::cuda::status, "What of CUDA is available, or what is missing.");
}
