// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "core/survey.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace diffmpm::cuda;

namespace {

const Survey::Device kVolta{"Tesla V100", std::size_t{16} << 30, 7, 0};
const Survey::Device kHopper{"NVIDIA H100", std::size_t{79} << 30, 9, 0};

Survey machine(int driver, const char* error = "", std::vector<Survey::Device> devices = {}) {
  return {driver, 13010, error, "75-real;80-real;90-real;100;120-real", std::move(devices)};
}

}  // namespace

TEST_CASE("without a driver, or with an outdated one, the status names the reason") {
  CHECK(usable_devices(machine(0, "CUDA driver version is insufficient for CUDA runtime version")) == 0);
  CHECK(describe(machine(0, "CUDA driver version is insufficient for CUDA runtime version")) ==
        "compiled in, but there is no NVIDIA driver on this machine; everything runs on the CPU");
  const Survey old = machine(12040, "CUDA driver version is insufficient for CUDA runtime version");
  CHECK(usable_devices(old) == 0);
  CHECK(
      describe(old) ==
      "compiled in, but the NVIDIA driver is too old: it knows CUDA 12.4, this build needs 13.0 (driver 580 or newer); "
      "update the driver, until then everything runs on the CPU");
}

TEST_CASE("a driver for the CUDA generation of the build is sufficient") {
  const Survey earlier = machine(13000, "", {kHopper});
  CHECK(usable_devices(earlier) == 1);
  CHECK(describe(earlier) == "compiled in, driver for CUDA 13.0; NVIDIA H100 with 79 GiB, sm_90");
}

TEST_CASE("without a device, the status quotes the CUDA runtime") {
  const Survey none = machine(13000, "no CUDA-capable device is detected");
  CHECK(usable_devices(none) == 0);
  CHECK(describe(none) ==
        "compiled in, but no device can be used: no CUDA-capable device is detected (driver for CUDA 13.0); everything "
        "runs on the CPU");
}

TEST_CASE("the status names devices without code in the build") {
  const Survey both = machine(13010, "", {kHopper, kVolta});
  CHECK(usable_devices(both) == 2);
  CHECK(describe(both) ==
        "compiled in, driver for CUDA 13.1; NVIDIA H100 with 79 GiB, sm_90; Tesla V100 with 16 GiB, sm_70, for which "
        "this build has no code; it was built for CMAKE_CUDA_ARCHITECTURES=75-real;80-real;90-real;100;120-real");
  const Survey old = machine(13010, "", {kVolta});
  CHECK(usable_devices(old) == 0);
  CHECK(describe(old).find("compiled in, but no device can be used, driver for CUDA 13.1; Tesla V100 ") == 0);
}

TEST_CASE("machine code runs on its generation, PTX on every later one") {
  CHECK(has_code("75-real;80-real", 8, 0));
  CHECK(has_code("75-real;80-real", 8, 9));
  CHECK(!has_code("75-real;80-real", 9, 0));
  CHECK(!has_code("75-real;86-real", 8, 0));
  CHECK(has_code("80-virtual", 9, 0));
  CHECK(has_code("80-virtual", 8, 0));
  CHECK(!has_code("80-virtual", 7, 5));
  CHECK(has_code("75-real;90", 12, 0));
  CHECK(has_code("90a", 9, 0));
  CHECK(!has_code("90a", 10, 0));
  CHECK(has_code("100f", 10, 3));
  CHECK(!has_code("100f", 12, 0));
  CHECK(has_code("native", 7, 0));
  CHECK(!has_code("", 9, 0));
}
