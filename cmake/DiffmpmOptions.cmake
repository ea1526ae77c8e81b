# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT

# diffmpm_tristate(NAME HELP): declare an option with the values AUTO, ON and OFF (also 1/0, YES/NO, TRUE/FALSE;
# empty means AUTO). -D takes precedence over the environment variable NAME. The normalised value is stored in NAME_MODE.
# Any other value is an error that names the option.
function(diffmpm_tristate name help)
  set(from_env "$ENV{${name}}")
  if(from_env STREQUAL "")
    set(from_env AUTO)
  endif()
  # Follow a changed environment in an existing build directory, unless -D has set another value.
  if(
    NOT DEFINED CACHE{${name}}
    OR (DEFINED CACHE{${name}_FROM_ENV} AND "$CACHE{${name}}" STREQUAL "$CACHE{${name}_FROM_ENV}")
  )
    set(${name} "${from_env}" CACHE STRING "${help}" FORCE)
    set(${name}_FROM_ENV "${from_env}" CACHE INTERNAL "Value of ${name} taken from the environment")
  endif()
  set_property(CACHE ${name} PROPERTY STRINGS AUTO ON OFF)
  set_property(CACHE ${name} PROPERTY HELPSTRING "${help}")
  set(input "${${name}}") # a plain reference; otherwise CMake reports an unused variable
  string(TOUPPER "${input}" value)
  if(value STREQUAL "" OR value STREQUAL "AUTO")
    set(mode AUTO)
  elseif(value MATCHES "^(1|ON|TRUE|YES|Y)$")
    set(mode ON)
  elseif(value MATCHES "^(0|OFF|FALSE|NO|N)$")
    set(mode OFF)
  else()
    message(
      FATAL_ERROR
      "${name}: expected AUTO, ON or OFF (or 1/0), got '${input}'; "
      "set the environment variable ${name} or pass -D${name}=AUTO"
    )
  endif()
  set(${name}_MODE ${mode} PARENT_SCOPE)
endfunction()
