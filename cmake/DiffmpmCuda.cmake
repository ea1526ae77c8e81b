# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
# CUDA. The device backend does not exist yet: what a CUDA compiler can do today is to check that the headers are
# valid device code (target diffmpm_cuda_check). AUTO therefore costs users nothing: it enables no language.
set(DIFFMPM_CUDA_SUPPORT FALSE)
set(DIFFMPM_CUDA_CHECK FALSE)
set(DIFFMPM_CUDA_NOTE "")
if(DIFFMPM_WITH_CUDA_MODE STREQUAL "OFF")
  set(DIFFMPM_CUDA_NOTE "turned off by DIFFMPM_WITH_CUDA")
elseif(DIFFMPM_WITH_CUDA_MODE STREQUAL "ON")
  include(CheckLanguage)
  check_language(CUDA)
  if(NOT CMAKE_CUDA_COMPILER)
    message(
      FATAL_ERROR
      "DIFFMPM_WITH_CUDA=ON, but no CUDA compiler was found; put nvcc on PATH or set CUDACXX (in a "
      "fresh build directory), or use DIFFMPM_WITH_CUDA=AUTO"
    )
  endif()
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 75-real) # the oldest that CUDA 13 knows; nothing is run
  endif()
  enable_language(CUDA)
  set(DIFFMPM_CUDA_CHECK TRUE)
  set(DIFFMPM_CUDA_NOTE "backend not implemented yet; target diffmpm_cuda_check compiles the device code")
else()
  # No check_language: it would configure a project; a look at PATH is enough for a note.
  find_program(DIFFMPM_NVCC NAMES nvcc HINTS ENV CUDACXX ENV CUDA_PATH PATH_SUFFIXES bin)
  mark_as_advanced(DIFFMPM_NVCC)
  if(DIFFMPM_NVCC)
    set(
      DIFFMPM_CUDA_NOTE
      "backend not implemented yet; a CUDA compiler is there, DIFFMPM_WITH_CUDA=ON compile-checks the device code"
    )
  else()
    set(DIFFMPM_CUDA_NOTE "no CUDA compiler was found; put nvcc on PATH to change it")
    message(STATUS "CUDA backend OFF: ${DIFFMPM_CUDA_NOTE}")
  endif()
endif()
