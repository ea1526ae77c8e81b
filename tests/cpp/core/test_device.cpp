// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <string>

#include "diffmpm/backend.hpp"
#include "diffmpm/core/device.hpp"

using namespace diffmpm;

TEST_CASE("a build without the CUDA backend reports that and has no device") {
  if (cuda::compiled()) return;
  CHECK(cuda::device_count() == 0);
  CHECK(std::string(cuda::status()).find("not in this build") == 0);
}

TEST_CASE("a build with the CUDA backend reports the usable devices") {
  if (!cuda::compiled()) return;
  MESSAGE(std::string(cuda::status()));
  CHECK(std::string(cuda::status()).find("compiled in") == 0);
}

TEST_CASE("a build without the CUDA backend has no CUDA table") {
  CHECK((cuda_backend<float>() != nullptr) == cuda::compiled());
  CHECK((cuda_backend<double>() != nullptr) == cuda::compiled());
}

TEST_CASE("without a device every call of the CUDA backend raises an error with the reason") {
  if (cuda::device_count() > 0 || !cuda::compiled()) return;
  const std::string reason = std::string("CUDA: ") + cuda::status();
  const Backend<double>& device = *cuda_backend<double>();
  const Context context{0};
  const MpmParams params;
  const double mass = 1;
  double out = 0;
  const surface::BindingView<double> binding;
  const auto refused = [&](const auto& call) { CHECK_THROWS_WITH_AS(call(), reason.c_str(), cuda::DeviceError); };
  refused([&] { device.mpm.rollout(context, params, {}); });
  refused([&] { device.mpm.grid_mass(context, params, 0, &mass, &mass, &out); });
  refused([&] { device.render.rasterize(context, {}); });
  refused([&] { device.losses.kinetic(context, 1, &mass, &out, &out); });
  refused([&] { device.image_losses.evaluate(context, {}); });
  refused([&] { device.body.mean_square(context, 1, &mass); });
  refused([&] { device.surface.evaluate(context, binding, &mass, &mass, 1.0, {}); });
  refused([&] { device.surface.evaluate_vjp(context, binding, &mass, &mass, 1.0, {}, &out, &out, &out); });
  refused([&] { device.surface.find_children(context, 0, 0, nullptr, nullptr, nullptr); });
}
