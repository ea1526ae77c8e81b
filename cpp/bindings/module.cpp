// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// The Python module diffmpm._core: each area binds itself.
#include <nanobind/nanobind.h>

namespace nb = nanobind;

void bind_info(nb::module_& m);
#ifdef DIFFMPM_BIND_GEOMETRY
void bind_geometry(nb::module_& m);
#endif
#ifdef DIFFMPM_BIND_MPM
void bind_mpm(nb::module_& m);
#endif
#ifdef DIFFMPM_BIND_LOSSES
void bind_losses(nb::module_& m);
#endif

NB_MODULE(_core, m) {
  m.doc() = "Native core of diffmpm; private, use the names in diffmpm.";
  bind_info(m);
#ifdef DIFFMPM_BIND_GEOMETRY
  bind_geometry(m);
#endif
#ifdef DIFFMPM_BIND_MPM
  bind_mpm(m);
#endif
#ifdef DIFFMPM_BIND_LOSSES
  bind_losses(m);
#endif
}
