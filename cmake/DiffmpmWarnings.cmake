# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
# Interface target with the warning flags of our own sources.
add_library(diffmpm_warnings INTERFACE)
if(MSVC)
  target_compile_options(diffmpm_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:/W4>)
  if(DIFFMPM_WERROR)
    target_compile_options(diffmpm_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:/WX>)
  endif()
else()
  target_compile_options(diffmpm_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic>)
  if(DIFFMPM_WERROR)
    target_compile_options(diffmpm_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
  endif()
endif()
