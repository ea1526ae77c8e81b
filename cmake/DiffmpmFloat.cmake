# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
# Floating-point flags, each with its reason. Never -ffast-math: it lets the compiler reorder sums, so that results
# would depend on its version, and it removes the tests for NaN that detect a broken step.
add_library(diffmpm_float INTERFACE) # sources that run once per call
add_library(diffmpm_float_kernels INTERFACE) # the kernels, compiled once per instruction set
if(MSVC)
  target_compile_options(diffmpm_float INTERFACE /fp:precise)
  target_compile_options(diffmpm_float_kernels INTERFACE /fp:precise $<$<NOT:$<CONFIG:Debug>>:/O2>)
else()
  # Full optimisation also in builds for development; not under sanitizers, where it would take many minutes.
  set(_optimise "$<$<NOT:$<CONFIG:Debug>>:-O3>")
  if(DIFFMPM_SANITIZE)
    set(_optimise "")
  endif()
  # sqrt and friends need not set errno: without it they become one instruction and loops vectorise.
  target_compile_options(diffmpm_float INTERFACE -fno-math-errno)
  # Nobody reads the floating-point exception flags, so branches may become masks. Values are unchanged.
  # Contraction: GCC turns a*b+c into one rounding only in GNU mode; -std=c++20 needs it asked for.
  target_compile_options(
    diffmpm_float_kernels
    INTERFACE -fno-math-errno -fno-trapping-math -ffp-contract=fast ${_optimise}
  )
endif()
