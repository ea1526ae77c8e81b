# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
# Floating-point flags with their reasons. Never -ffast-math: results would depend on the compiler's order of sums, and it
# removes the NaN checks that detect an invalid step.
add_library(diffmpm_float INTERFACE) # sources outside the kernels
add_library(diffmpm_float_kernels INTERFACE) # kernels, compiled per instruction set
if(MSVC)
  target_compile_options(diffmpm_float INTERFACE /fp:precise)
  target_compile_options(diffmpm_float_kernels INTERFACE /fp:precise $<$<NOT:$<CONFIG:Debug>>:/O2>)
else()
  # Full optimisation also in development builds, but not under sanitizers, where it takes many minutes.
  set(_optimise "$<$<NOT:$<CONFIG:Debug>>:-O3>")
  if(DIFFMPM_SANITIZE)
    set(_optimise "")
  endif()
  # Without errno, sqrt is one instruction and its loops vectorise.
  target_compile_options(diffmpm_float INTERFACE -fno-math-errno)
  # The floating-point exception flags are unused, so branches may become masks. Values are unchanged.
  # With -std=c++20 GCC contracts a*b+c into a fused multiply-add only on request.
  target_compile_options(
    diffmpm_float_kernels
    INTERFACE -fno-math-errno -fno-trapping-math -ffp-contract=fast ${_optimise}
  )
endif()
