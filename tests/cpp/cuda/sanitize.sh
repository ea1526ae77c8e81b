#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
# Run the small cases of the CUDA backend under compute-sanitizer; needs a device and nothing else than the test program.
#   sanitize.sh PROGRAM                   all tools and cases, one line each
#   sanitize.sh PROGRAM TOOL CASE         one: memcheck | racecheck, and a case of test_small_on_device.cpp, such as arrays
set -euo pipefail
program="$1"
sanitizer="$(PATH="$PATH:${CUDA_HOME:-/usr/local/cuda}/bin" command -v compute-sanitizer || true)"
if [ -z "$sanitizer" ]; then
  echo "skipped: no compute-sanitizer on PATH or in ${CUDA_HOME:-/usr/local/cuda}/bin"
  exit 0
fi

check() { # TOOL CASE
  timeout 60 "$sanitizer" --tool "$1" --error-exitcode 1 "$program" "--test-case=small: $2*"
}

if [ $# -eq 3 ]; then
  check "$2" "$3"
  exit
fi
failed=0
for tool in memcheck racecheck; do
  for name in "step quadratic" "step cubic" rasterise surface losses arrays; do
    start=$SECONDS status=0
    output="$(check "$tool" "$name" 2>&1)" || status=$?
    [[ "$output" =~ "test cases: "\ *"0 " ]] && status=1 # no such case
    echo "$tool, $name: exit status $status after $((SECONDS - start)) s"
    [ $status -eq 0 ] || { echo "$output" | tail -n 40; failed=1; }
  done
done
exit $failed
