# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
# PyTorch support. Searches for the CMake package of PyTorch, find_package(Torch CONFIG), in Torch_DIR, CMAKE_PREFIX_PATH
# and DIFFMPM_TORCH_ROOT, then in the torch package of the building interpreter, then in that of the same interpreter
# outside build isolation (python -I). Sets DIFFMPM_TORCH_SUPPORT, DIFFMPM_TORCH_VERSION and DIFFMPM_TORCH_NOTE. With the
# headers of the stable ABI, sets DIFFMPM_TORCH_OPERATORS and the target diffmpm_torch, otherwise
# DIFFMPM_TORCH_OPERATORS_NOTE. The Python module never links PyTorch, because it must work without it.
set(DIFFMPM_TORCH_MINIMUM 2.4) # first release with torch.library.custom_op
set(DIFFMPM_TORCH_OPERATORS_MINIMUM 2.11) # first stable ABI whose tensors can own foreign memory
set(DIFFMPM_TORCH_SUPPORT FALSE)
set(DIFFMPM_TORCH_OPERATORS FALSE)
set(DIFFMPM_TORCH_OPERATORS_NOTE "")
set(DIFFMPM_TORCH_VERSION "")
set(DIFFMPM_TORCH_NOTE "")

# diffmpm_ask_torch(OUT COMMAND...): directory of the torch package of an interpreter, without importing it.
function(diffmpm_ask_torch out)
  execute_process(
    COMMAND
      ${ARGN} -c
      "import importlib.util as u, os, sys
s = u.find_spec('torch')
sys.stdout.write(os.path.dirname(s.origin) if s and s.origin else '')"
    OUTPUT_VARIABLE answer
    ERROR_QUIET
    RESULT_VARIABLE status
  )
  if(NOT status EQUAL 0)
    set(answer "")
  endif()
  file(TO_CMAKE_PATH "${answer}" answer)
  set(${out} "${answer}" PARENT_SCOPE)
endfunction()

# diffmpm_header_version(OUT ROOT): version in the headers of the torch package in ROOT, or empty.
function(diffmpm_header_version out root)
  set(version "")
  foreach(header headeronly/version.h csrc/api/include/torch/version.h)
    if(NOT version AND EXISTS "${root}/include/torch/${header}")
      file(STRINGS "${root}/include/torch/${header}" lines REGEX "^#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
      string(REGEX REPLACE "[^0-9;]" "" lines "${lines}")
      string(REPLACE ";" "." version "${lines}")
    endif()
  endforeach()
  set(${out} "${version}" PARENT_SCOPE)
endfunction()

# diffmpm_probe_torch(OUT PREFIX ROOT): version and folder of PyTorch from find_package(Torch CONFIG), or empty.
function(diffmpm_probe_torch out prefix root)
  set(prefixes "${CMAKE_PREFIX_PATH}")
  if(root)
    list(PREPEND prefixes "${root}")
  endif()
  string(REPLACE ";" "\\;" prefixes "${prefixes}")
  set(probe "${PROJECT_BINARY_DIR}/torch_probe")
  file(REMOVE_RECURSE "${probe}")
  set(
    arguments
    -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}
    -DCMAKE_CXX_COMPILER_WORKS=1
    "-DCMAKE_PREFIX_PATH=${prefixes}"
  )
  if(CMAKE_MAKE_PROGRAM)
    list(APPEND arguments "-DCMAKE_MAKE_PROGRAM=${CMAKE_MAKE_PROGRAM}")
  endif()
  foreach(name Torch_DIR Torch_ROOT CMAKE_DISABLE_FIND_PACKAGE_Torch)
    if(${name})
      list(APPEND arguments "-D${name}=${${name}}")
    endif()
  endforeach()
  execute_process(
    COMMAND
      ${CMAKE_COMMAND} -G ${CMAKE_GENERATOR} -S "${PROJECT_SOURCE_DIR}/cmake/torch_probe" -B "${probe}" ${arguments}
    OUTPUT_VARIABLE text
    ERROR_VARIABLE text
  )
  set(${out} "" PARENT_SCOPE)
  if(text MATCHES "DIFFMPM_TORCH_FOUND=([^=]*)=([^=]*)=")
    set(${out} "${CMAKE_MATCH_1}" PARENT_SCOPE)
    set(${prefix} "${CMAKE_MATCH_2}" PARENT_SCOPE)
  endif()
endfunction()

# Search for PyTorch; set its version, or a reason in DIFFMPM_TORCH_NOTE.
function(diffmpm_find_torch)
  set(root "${DIFFMPM_TORCH_ROOT}")
  if(NOT root AND NOT Torch_DIR AND NOT Torch_ROOT)
    find_package(Python 3.10 QUIET COMPONENTS Interpreter)
    if(Python_Interpreter_FOUND)
      diffmpm_ask_torch(root "${Python_EXECUTABLE}")
      if(NOT root)
        diffmpm_ask_torch(root "${Python_EXECUTABLE}" -I)
      endif()
    endif()
  endif()
  set(version "")
  set(note "no PyTorch was found through find_package(Torch) or the building Python")
  if(root AND NOT EXISTS "${root}/share/cmake/Torch/TorchConfig.cmake")
    set(note "'${root}' holds no share/cmake/Torch/TorchConfig.cmake")
  elseif(root OR Torch_DIR OR Torch_ROOT OR CMAKE_PREFIX_PATH)
    set(prefix "")
    diffmpm_probe_torch(version prefix "${root}")
    if(NOT version AND root AND NOT CMAKE_DISABLE_FIND_PACKAGE_Torch)
      # Without a CUDA toolkit the package file of a CUDA build of PyTorch fails, but its headers are sufficient.
      diffmpm_header_version(version "${root}")
    endif()
  endif()
  if(version AND version VERSION_LESS DIFFMPM_TORCH_MINIMUM)
    set(note "PyTorch ${version} is older than ${DIFFMPM_TORCH_MINIMUM}")
    set(version "")
  endif()
  if(version)
    set(note "")
  endif()
  if(NOT root)
    set(root "${prefix}")
  endif()
  set(DIFFMPM_TORCH_FOLDER "${root}" PARENT_SCOPE)
  set(DIFFMPM_TORCH_VERSION "${version}" PARENT_SCOPE)
  set(DIFFMPM_TORCH_NOTE "${note}" PARENT_SCOPE)
endfunction()

# Define the target of the native operators from the PyTorch in DIFFMPM_TORCH_FOLDER.
function(diffmpm_torch_target)
  find_library(torch_cpu torch_cpu PATHS "${DIFFMPM_TORCH_FOLDER}/lib" NO_DEFAULT_PATH NO_CACHE)
  if(DIFFMPM_TORCH_VERSION VERSION_LESS DIFFMPM_TORCH_OPERATORS_MINIMUM)
    set(note "they need the headers of PyTorch >= ${DIFFMPM_TORCH_OPERATORS_MINIMUM}")
  elseif(NOT EXISTS "${DIFFMPM_TORCH_FOLDER}/include/torch/csrc/stable/library.h" OR NOT torch_cpu)
    set(note "'${DIFFMPM_TORCH_FOLDER}' holds no include/torch/csrc/stable/library.h or no torch_cpu library")
  else()
    add_library(diffmpm_torch INTERFACE)
    target_include_directories(diffmpm_torch SYSTEM INTERFACE "${DIFFMPM_TORCH_FOLDER}/include")
    # Use the ABI of this release, so that operators built with a newer PyTorch run with this one and later.
    target_compile_definitions(diffmpm_torch INTERFACE TORCH_TARGET_VERSION=0x020b000000000000ULL)
    # Linked by name only: at run time it is the copy loaded by 'import torch'.
    add_library(diffmpm_torch_cpu SHARED IMPORTED)
    set_target_properties(diffmpm_torch_cpu PROPERTIES IMPORTED_LOCATION "${torch_cpu}" IMPORTED_IMPLIB "${torch_cpu}")
    target_link_libraries(diffmpm_torch INTERFACE diffmpm_torch_cpu)
    set(DIFFMPM_TORCH_OPERATORS TRUE PARENT_SCOPE)
    return()
  endif()
  set(DIFFMPM_TORCH_OPERATORS_NOTE "${note}" PARENT_SCOPE)
endfunction()

set(_torch_remedy "install torch >= ${DIFFMPM_TORCH_MINIMUM}, or set DIFFMPM_TORCH_ROOT to its package directory")
if(DIFFMPM_WITH_TORCH_MODE STREQUAL "OFF")
  set(DIFFMPM_TORCH_NOTE "turned off by DIFFMPM_WITH_TORCH")
else()
  diffmpm_find_torch()
  if(DIFFMPM_TORCH_VERSION)
    set(DIFFMPM_TORCH_SUPPORT TRUE)
    diffmpm_torch_target()
  elseif(DIFFMPM_WITH_TORCH_MODE STREQUAL "ON")
    message(
      FATAL_ERROR
      "DIFFMPM_WITH_TORCH=ON, but ${DIFFMPM_TORCH_NOTE}; ${_torch_remedy}, "
      "or use DIFFMPM_WITH_TORCH=AUTO"
    )
  else()
    message(STATUS "PyTorch support OFF: ${DIFFMPM_TORCH_NOTE}; ${_torch_remedy}, and build again")
  endif()
endif()
