# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
# Reads the version from pyproject.toml, its only definition.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/../pyproject.toml")
file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/../pyproject.toml" _version_line REGEX "^version = " LIMIT_COUNT 1)
if(NOT _version_line MATCHES "^version = \"(([0-9]+\\.[0-9]+\\.[0-9]+)[^\"]*)\"")
  message(FATAL_ERROR "pyproject.toml: expected a line 'version = \"X.Y.Z\"', got '${_version_line}'")
endif()
set(DIFFMPM_VERSION_FULL "${CMAKE_MATCH_1}")
set(DIFFMPM_VERSION "${CMAKE_MATCH_2}")
