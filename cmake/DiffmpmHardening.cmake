# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
# Hardening of the shared libraries, verified by tools/check_wheel.py: read-only function tables after loading, stack
# protectors, checked C library functions. Not for the kernels, whose inner loops use large arrays on the stack, nor under
# sanitizers, which check more.
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
