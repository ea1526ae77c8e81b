// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <string>

#include "diffmpm/core/device.hpp"
#include "diffmpm/losses/losses.hpp"
#include "diffmpm/mpm/rollout.hpp"
#include "diffmpm/render/rasterize.hpp"
#include "diffmpm/surface/surface.hpp"

using namespace diffmpm;

TEST_CASE("a build without the CUDA backend says so and offers no device") {
  if (cuda::compiled()) return;
  CHECK(cuda::device_count() == 0);
  CHECK(std::string(cuda::status()).find("not in this build") == 0);
}

TEST_CASE("a build with the CUDA backend tells what it can use") {
  if (!cuda::compiled()) return;
  MESSAGE(std::string(cuda::status()));
  CHECK(std::string(cuda::status()).find("compiled in") == 0);
}

TEST_CASE("without a device every call of the backend is refused, and says why") {
  if (cuda::device_count() > 0) return;
  const std::string reason = std::string("CUDA: ") + cuda::status();
  const MpmParams params;
  const double mass = 1;
  double out = 0;
  CHECK_THROWS_WITH_AS(cuda::rollout(params, RolloutInput<double>(), nullptr), reason.c_str(), cuda::DeviceError);
  CHECK_THROWS_WITH_AS(cuda::grid_mass(params, 0, &mass, &mass, &out, nullptr), reason.c_str(), cuda::DeviceError);
  CHECK_THROWS_WITH_AS(cuda::rasterize(RasterInput<double>(), nullptr), reason.c_str(), cuda::DeviceError);
  CHECK_THROWS_WITH_AS(cuda::loss_kinetic(1, &mass, &out, nullptr), reason.c_str(), cuda::DeviceError);
  const surface::BindingView<double> binding;
  CHECK_THROWS_WITH_AS(cuda::evaluate(binding, &mass, &mass, 1.0, {}, nullptr), reason.c_str(), cuda::DeviceError);
  CHECK_THROWS_WITH_AS(cuda::evaluate_vjp(binding, &mass, &mass, 1.0, {}, &out, &out, &out, nullptr), reason.c_str(),
                       cuda::DeviceError);
  CHECK_THROWS_WITH_AS(cuda::find_children(0, 0, nullptr, nullptr, nullptr, nullptr), reason.c_str(),
                       cuda::DeviceError);
}
