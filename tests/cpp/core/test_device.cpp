// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <string>

#include "diffmpm/core/device.hpp"

TEST_CASE("a build without the CUDA backend says so and offers no device") {
  if (diffmpm::cuda::compiled()) return;
  CHECK(diffmpm::cuda::device_count() == 0);
  CHECK(std::string(diffmpm::cuda::status()).find("not in this build") == 0);
}
