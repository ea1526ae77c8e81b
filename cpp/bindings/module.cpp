// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// The Python module diffmpm._core.
#include <nanobind/nanobind.h>

namespace nb = nanobind;

void bind_info(nb::module_& m);
void bind_device_array(nb::module_& m);
void bind_body(nb::module_& m);
void bind_geometry(nb::module_& m);
void bind_mpm(nb::module_& m);
void bind_native_call(nb::module_& m);
void bind_losses(nb::module_& m);
void bind_operators(nb::module_& m);
void bind_optimize(nb::module_& m);
void bind_render(nb::module_& m);
void bind_surface(nb::module_& m);

NB_MODULE(_core, m) {
  m.doc() = "Native core of diffmpm; private, use the names in diffmpm.";
  bind_native_call(m);
  bind_info(m);
  bind_device_array(m);
  bind_body(m);
  bind_geometry(m);
  bind_mpm(m);
  bind_losses(m);
  bind_operators(m);
  bind_optimize(m);
  bind_render(m);
  bind_surface(m);
}
