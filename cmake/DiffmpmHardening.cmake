# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
# Hardening of the shared libraries, of which tools/check_wheel.py looks for the traces: tables of functions that are read-only
# after loading, guarded stacks, checked copies of the C library. Not for the kernels, which keep large arrays on the stack in
# their inner loops, nor under sanitizers, which check more.
add_library(diffmpm_hardening INTERFACE)
if(NOT MSVC AND NOT DIFFMPM_SANITIZE)
  target_compile_options(
    diffmpm_hardening
    INTERFACE
      "$<$<COMPILE_LANGUAGE:CXX>:-fstack-protector-strong>"
      "$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<NOT:$<CONFIG:Debug>>>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2>"
  )
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    target_link_options(diffmpm_hardening INTERFACE LINKER:-z,relro LINKER:-z,now)
  endif()
endif()
