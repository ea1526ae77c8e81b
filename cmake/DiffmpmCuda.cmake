# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
# CUDA backend. It is experimental: the tests run its kernels on the CPU, but no device has run it so far. AUTO therefore leaves
# it out even where there is a CUDA compiler; ON builds it.
set(DIFFMPM_CUDA_SUPPORT FALSE)
set(DIFFMPM_CUDA_NOTE "")
if(DIFFMPM_EMULATE_CUDA)
  set(DIFFMPM_CUDA_SUPPORT TRUE)
  set(DIFFMPM_CUDA_NOTE "emulated on the CPU")
elseif(DIFFMPM_WITH_CUDA_MODE STREQUAL "OFF")
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
  # Turing to Hopper, and code that later devices translate for themselves. CUDA 13 knows nothing older.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(
      CMAKE_CUDA_ARCHITECTURES
      75-real
      80-real
      86-real
      89-real
      90
    )
  endif()
  # The runtime is inside of the library: nothing of CUDA has to be installed where there is no device.
  set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  # An older CMake does not know that this compiler has C++20; cpp/cuda then passes the flag itself.
  if("cuda_std_20" IN_LIST CMAKE_CUDA_COMPILE_FEATURES)
    set(CMAKE_CUDA_STANDARD 20)
  else()
    set(CMAKE_CUDA_STANDARD 17)
  endif()
  set(DIFFMPM_CUDA_SUPPORT TRUE)
  set(DIFFMPM_CUDA_NOTE "experimental, nvcc ${CMAKE_CUDA_COMPILER_VERSION}")
else()
  set(DIFFMPM_CUDA_NOTE "experimental, DIFFMPM_WITH_CUDA=ON builds it")
endif()
