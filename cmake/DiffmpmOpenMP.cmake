# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
# OpenMP; without it everything runs on one thread.
add_library(diffmpm_openmp INTERFACE)
set_target_properties(diffmpm_openmp PROPERTIES EXPORT_NAME openmp)
find_package(OpenMP QUIET COMPONENTS CXX)
if(OpenMP_CXX_FOUND)
  set(DIFFMPM_HAVE_OPENMP TRUE)
  target_link_libraries(diffmpm_openmp INTERFACE OpenMP::OpenMP_CXX)
else()
  set(DIFFMPM_HAVE_OPENMP FALSE)
  message(STATUS "OpenMP was not found: using one thread; install libomp (Clang) or libgomp (GCC) for more")
  if(NOT MSVC)
    target_compile_options(diffmpm_openmp INTERFACE -Wno-unknown-pragmas)
  endif()
endif()
