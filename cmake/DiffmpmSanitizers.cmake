# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
# Interface target with the sanitizers in DIFFMPM_SANITIZE (comma separated; GCC and Clang).
add_library(diffmpm_sanitizers INTERFACE)
set_target_properties(diffmpm_sanitizers PROPERTIES EXPORT_NAME sanitizers)
if(DIFFMPM_SANITIZE)
  if(MSVC)
    message(FATAL_ERROR "DIFFMPM_SANITIZE: expected GCC or Clang, got MSVC; leave the option empty")
  endif()
  string(REPLACE ";" "," _sanitizers "${DIFFMPM_SANITIZE}")
  target_compile_options(
    diffmpm_sanitizers
    INTERFACE -fsanitize=${_sanitizers} -fno-omit-frame-pointer -fno-sanitize-recover=all
  )
  target_link_options(diffmpm_sanitizers INTERFACE -fsanitize=${_sanitizers})
endif()
