# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
# 'cmake --install': the static library, its headers, and the package for find_package(diffmpm CONFIG). Wheels contain none of
# it (pyproject.toml turns DIFFMPM_INSTALL off).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/diffmpm")

install(
  TARGETS diffmpm_core diffmpm_openmp diffmpm_sanitizers
  EXPORT diffmpm-targets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT development
)
install(
  DIRECTORY "${PROJECT_SOURCE_DIR}/cpp/include/diffmpm"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  COMPONENT development
  FILES_MATCHING
  PATTERN "*.hpp"
)
install(EXPORT diffmpm-targets NAMESPACE diffmpm:: DESTINATION "${_package_dir}" COMPONENT development)
configure_package_config_file(
  "${CMAKE_CURRENT_LIST_DIR}/diffmpm-config.cmake.in"
  "${PROJECT_BINARY_DIR}/diffmpm-config.cmake"
  INSTALL_DESTINATION "${_package_dir}"
)
# Before 1.0, minor versions may change the interface.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/diffmpm-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(
  FILES "${PROJECT_BINARY_DIR}/diffmpm-config.cmake" "${PROJECT_BINARY_DIR}/diffmpm-config-version.cmake"
  DESTINATION "${_package_dir}"
  COMPONENT development
)
