# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
# CUDA backend. AUTO builds it if the CUDA compiler works and otherwise reports why not; ON fails then.
# Sets DIFFMPM_CUDA_SUPPORT and DIFFMPM_CUDA_NOTE.
set(DIFFMPM_CUDA_SUPPORT FALSE)
set(DIFFMPM_CUDA_NOTE "")

# diffmpm_probe_cuda(VERSION NOTE): version of a CUDA compiler that can build the backend, or empty and the reason.
function(diffmpm_probe_cuda out_version out_note)
  set(probe "${PROJECT_BINARY_DIR}/cuda_probe")
  file(REMOVE_RECURSE "${probe}")
  set(arguments "-DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}")
  foreach(
    name
    CMAKE_CUDA_ARCHITECTURES
    CMAKE_CUDA_COMPILER
    CMAKE_CUDA_FLAGS
    CMAKE_CUDA_HOST_COMPILER
    CMAKE_MAKE_PROGRAM
    CMAKE_TOOLCHAIN_FILE
    CUDAToolkit_ROOT
  )
    if(${name})
      string(REPLACE ";" "\\;" value "${${name}}")
      list(APPEND arguments "-D${name}=${value}")
    endif()
  endforeach()
  if(CMAKE_GENERATOR_PLATFORM)
    list(APPEND arguments -A "${CMAKE_GENERATOR_PLATFORM}")
  endif()
  if(CMAKE_GENERATOR_TOOLSET)
    list(APPEND arguments -T "${CMAKE_GENERATOR_TOOLSET}")
  endif()
  execute_process(
    COMMAND
      ${CMAKE_COMMAND} -G ${CMAKE_GENERATOR} -S "${PROJECT_SOURCE_DIR}/cmake/cuda_probe" -B "${probe}" ${arguments}
    OUTPUT_VARIABLE text
    ERROR_VARIABLE text
    RESULT_VARIABLE status
  )
  set(version "")
  if(text MATCHES "DIFFMPM_NVCC=([0-9.]+)=")
    set(version "${CMAKE_MATCH_1}")
  endif()
  if(status EQUAL 0)
    execute_process(
      COMMAND ${CMAKE_COMMAND} --build "${probe}"
      OUTPUT_VARIABLE text
      ERROR_VARIABLE text
      RESULT_VARIABLE status
    )
  endif()
  if(status EQUAL 0)
    set(note "")
  elseif(text MATCHES "No CMAKE_CUDA_COMPILER could be found")
    set(note "no CUDA compiler was found; put nvcc on PATH or set CUDACXX")
  else()
    # The first compiler error in the CMake log, or the message of CMake.
    foreach(log CMakeConfigureLog.yaml CMakeError.log)
      if(EXISTS "${probe}/CMakeFiles/${log}")
        file(READ "${probe}/CMakeFiles/${log}" more)
        string(APPEND text "\n${more}")
      endif()
    endforeach()
    if(text MATCHES "[^\n]*(error: |nvcc fatal)[^\n]*")
      set(note "${CMAKE_MATCH_0}")
    elseif(text MATCHES "CMake Error[^\n]*\n(.+)(Call Stack|-- Configuring incomplete)")
      set(note "${CMAKE_MATCH_1}")
      string(REGEX REPLACE "Call Stack.*" "" note "${note}")
    else()
      string(SUBSTRING "${text}" 0 240 note)
    endif()
    string(REGEX REPLACE "[\"\\\\]" "'" note "${note}")
    string(REGEX REPLACE "[ \n]+" " " note "${note}")
    string(STRIP "${note}" note)
    string(SUBSTRING "${note}" 0 240 note)
    if(version)
      set(note "nvcc ${version} cannot build it: ${note}")
    else()
      set(note "the CUDA compiler does not work: ${note}")
    endif()
    set(version "")
  endif()
  file(REMOVE_RECURSE "${probe}")
  set(${out_version} "${version}" PARENT_SCOPE)
  set(${out_note} "${note}" PARENT_SCOPE)
endfunction()

if(DIFFMPM_EMULATE_CUDA)
  set(DIFFMPM_CUDA_SUPPORT TRUE)
  set(DIFFMPM_CUDA_NOTE "emulated on the CPU")
elseif(DIFFMPM_WITH_CUDA_MODE STREQUAL "OFF")
  set(DIFFMPM_CUDA_NOTE "turned off by DIFFMPM_WITH_CUDA")
else()
  # Probe once per build directory.
  if(NOT CMAKE_CUDA_COMPILER OR NOT DIFFMPM_CUDA_PROBED)
    diffmpm_probe_cuda(_nvcc DIFFMPM_CUDA_NOTE)
    set(DIFFMPM_CUDA_PROBED "${_nvcc}" CACHE INTERNAL "Version of the CUDA compiler that can build the backend")
  endif()
  if(DIFFMPM_CUDA_PROBED)
    # Turing to Blackwell, and PTX for later devices.
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND "$ENV{CUDAARCHS}" STREQUAL "")
      set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real)
      if(DIFFMPM_CUDA_PROBED VERSION_LESS 12.8)
        list(APPEND CMAKE_CUDA_ARCHITECTURES 90)
      else()
        list(APPEND CMAKE_CUDA_ARCHITECTURES 90-real 100 120-real)
      endif()
    endif()
    # With a static runtime the library also loads on machines without CUDA.
    set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
    # An older CMake may not know that this compiler supports C++20; cpp/cuda then passes the flag itself.
    if("cuda_std_20" IN_LIST CMAKE_CUDA_COMPILE_FEATURES)
      set(CMAKE_CUDA_STANDARD 20)
    else()
      set(CMAKE_CUDA_STANDARD 17)
    endif()
    set(DIFFMPM_CUDA_SUPPORT TRUE)
    list(JOIN CMAKE_CUDA_ARCHITECTURES " " _architectures)
    set(DIFFMPM_CUDA_NOTE "nvcc ${CMAKE_CUDA_COMPILER_VERSION}, architectures ${_architectures}")
  elseif(DIFFMPM_WITH_CUDA_MODE STREQUAL "ON")
    message(
      FATAL_ERROR
      "DIFFMPM_WITH_CUDA=ON, but ${DIFFMPM_CUDA_NOTE}; then configure a new build directory, or use "
      "DIFFMPM_WITH_CUDA=AUTO"
    )
  else()
    message(STATUS "CUDA backend OFF: ${DIFFMPM_CUDA_NOTE}")
  endif()
endif()
