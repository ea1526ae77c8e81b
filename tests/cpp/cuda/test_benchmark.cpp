// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "../../../benchmarks/cuda_step.cuh"

#include <doctest/doctest.h>

#include <chrono>
#include <initializer_list>

#include "cuda/emulation.hpp"

using namespace diffmpm;

namespace {

class HostClock {
 public:
  void start() { start_ = std::chrono::steady_clock::now(); }
  double stop() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_;
};

}  // namespace

TEST_CASE("the GPU benchmark completes and times every pass") {
  for (const Basis basis : {Basis::quadratic, Basis::cubic}) {
    const auto report = benchmark::measure(testing::EmulatedQueue(), HostClock(), basis, {3, 2}, 1 << 16);
    CHECK(report.sizes.particles == 216);
    CHECK(report.sizes.chunks >= 1);
    CHECK(report.sizes.grid >= 27);
    CHECK(report.copy_bandwidth > 0);
    CHECK(report.forward > report.both);
    for (const benchmark::KernelTime& time : report.times) {
      CHECK(time.launches == 2);
      CHECK(time.seconds > 0);
    }
  }
}

TEST_CASE("the benchmark reports the bytes and operations documented in the manual") {
  const benchmark::Sizes sizes{512, 1, 1, Basis::quadratic};
  const auto bytes = [&](int pass) { return sizes.bytes(benchmark::kPass[pass]) / sizes.particles; };
  const double expected[] = {112 + 18, 18 + 4, 62 + 96, 2 + 2, 206 + 102, 20 + 2, 230 + 112};
  double forward = 0, both = 0;
  for (int n = 0; n < benchmark::kPasses; ++n) {
    CHECK(bytes(n) == doctest::Approx(expected[n]).epsilon(0.03));
    const double flops = sizes.flops(benchmark::kPass[n]) / sizes.particles;
    both += flops;
    if (n < benchmark::kForwardPasses) forward += flops;
  }
  CHECK(forward == doctest::Approx(2200).epsilon(0.1));
  CHECK(both == doctest::Approx(7600).epsilon(0.1));
}
