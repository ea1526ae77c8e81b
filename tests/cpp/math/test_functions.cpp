// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "diffmpm/math/functions.hpp"

using namespace diffmpm;

namespace {

template <class T>
void check_exp2() {
  using P = Pack<T>;
  const double bound = 2.0 * std::numeric_limits<T>::epsilon();
  for (int n = -12600; n <= 12600; n += 7) {
    T in[P::kWidth], out[P::kWidth];
    for (int l = 0; l < P::kWidth; ++l) in[l] = static_cast<T>((n + 0.37 * l) / 100.0);
    vexp2(P::load(in)).store(out);
    for (int l = 0; l < P::kWidth; ++l) {
      const double expected = std::exp2(static_cast<double>(in[l]));
      CHECK(std::abs(static_cast<double>(out[l]) - expected) <= bound * expected);
    }
  }
}

}  // namespace

TEST_CASE("powers of two of packs") {
  check_exp2<float>();
  check_exp2<double>();
}

TEST_CASE("whole powers of two are exact") {
  for (int n = -30; n <= 30; ++n) {
    double out[Pack<double>::kWidth];
    vexp2(Pack<double>(n)).store(out);
    CHECK(out[0] == std::ldexp(1.0, n));
  }
}

TEST_CASE("fused multiply-add and minimum of packs") {
  float fma[Pack<float>::kWidth], low[Pack<float>::kWidth];
  vfma(Pack<float>(3.0f), Pack<float>(5.0f), Pack<float>(-7.0f)).store(fma);
  vmin(Pack<float>(3.0f), Pack<float>(-2.0f)).store(low);
  for (int l = 0; l < Pack<float>::kWidth; ++l) {
    CHECK(fma[l] == 8.0f);
    CHECK(low[l] == -2.0f);
  }
}
