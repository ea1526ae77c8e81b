# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
# One object library per instruction set from the same sources; the variant is selected at run time.
set(DIFFMPM_ISAS base)
# Sanitized builds use the base set only: compiling the same sources again takes minutes and checks nothing new.
if(NOT DIFFMPM_SANITIZE AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
  list(APPEND DIFFMPM_ISAS avx2 avx512)
endif()

# diffmpm_add_isa_kernels(TARGET SOURCES...): compile SOURCES once per instruction set with DIFFMPM_ISA set to its
# name and add the objects to TARGET, with DIFFMPM_HAVE_<ISA>=1 for the selection at run time.
function(diffmpm_add_isa_kernels target)
  if(MSVC)
    set(flags_avx2 /arch:AVX2)
    set(flags_avx512 /arch:AVX512)
  else()
    set(flags_avx2 -mavx2 -mfma)
    # The kernels are long sequences of fused multiply-adds, which benefit from 512-bit vectors.
    set(
      flags_avx512
      -mavx512f
      -mavx512bw
      -mavx512dq
      -mavx512vl
      -mavx2
      -mfma
      -mprefer-vector-width=512
    )
  endif()
  foreach(isa IN LISTS DIFFMPM_ISAS)
    set(objects ${target}_${isa})
    add_library(${objects} OBJECT ${ARGN})
    target_include_directories(${objects} PRIVATE "${PROJECT_SOURCE_DIR}/cpp/include")
    target_compile_definitions(${objects} PRIVATE DIFFMPM_ISA=${isa})
    target_compile_options(${objects} PRIVATE ${flags_${isa}})
    # GCC 12 rewrites addresses to "0 + offset", treats the access as a null dereference, and drops calls of functions that
    # end in it. Without this flag -O1 and -O2 remove the scatter of the AVX-512 kernels.
    target_compile_options(${objects} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fno-delete-null-pointer-checks>)
    # GCC 12 warns about its own header: avx512fintrin.h creates undefined vectors by '__m512 __Y = __Y'.
    target_compile_options(${objects} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized;-Wno-maybe-uninitialized>)
    target_link_libraries(${objects} PRIVATE diffmpm_warnings diffmpm_sanitizers diffmpm_float_kernels diffmpm_openmp)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${objects}>)
    string(TOUPPER ${isa} upper)
    target_compile_definitions(${target} PRIVATE DIFFMPM_HAVE_${upper}=1)
  endforeach()
endfunction()
