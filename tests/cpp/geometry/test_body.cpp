// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/backend.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "diffmpm/core/random.hpp"
#include "diffmpm/core/threads.hpp"

using namespace diffmpm;

namespace {

template <class T>
std::vector<T> numbers(std::int64_t count, std::uint64_t seed) {
  std::vector<T> v;
  for (std::int64_t n = 0; n < count; ++n)
    v.push_back(static_cast<T>(random_uniform(seed, static_cast<std::uint64_t>(n), 0) - 0.3));
  return v;
}

}  // namespace

TEST_CASE_TEMPLATE("figures of a body are those of plain loops, for any number of threads", T, float, double) {
  constexpr std::int64_t kCount = 10'000;
  const std::vector<T> a = numbers<T>(3 * kCount, 1), F = numbers<T>(9 * kCount, 3);
  double square = 0, low = 1e9, high = -1e9;
  for (std::int64_t p = 0; p < kCount; ++p) {
    for (int r = 0; r < 3; ++r) square += double(a[3 * p + r]) * double(a[3 * p + r]) / kCount;
    const T* m = F.data() + 9 * p;
    const double det = double(m[0]) * (double(m[4]) * m[8] - double(m[5]) * m[7]) -
                       double(m[1]) * (double(m[3]) * m[8] - double(m[5]) * m[6]) +
                       double(m[2]) * (double(m[3]) * m[7] - double(m[4]) * m[6]);
    low = std::min(low, det), high = std::max(high, det);
  }
  double first = 0;
  for (const int threads : {1, 3, 4}) {
    set_thread_count(threads);
    const double mean = backend<T>({}).body.mean_square({}, kCount, a.data());
    CHECK(mean == doctest::Approx(square).epsilon(1e-12));
    if (threads == 1) first = mean;
    CHECK(mean == first);
    const Range range = backend<T>({}).body.determinant_range({}, kCount, F.data());
    CHECK(range.low == doctest::Approx(low).epsilon(1e-12));
    CHECK(range.high == doctest::Approx(high).epsilon(1e-12));
  }
  set_thread_count(0);
  CHECK(backend<T>({}).body.mean_square({}, 0, nullptr) == 0);
}

TEST_CASE("a determinant that is not a number is not overlooked") {
  for (const int bad : {0, 5, 9}) {
    std::vector<double> F = numbers<double>(90, 4);
    F[static_cast<std::size_t>(9 * bad + 4)] = std::numeric_limits<double>::quiet_NaN();
    const Range range = backend<double>({}).body.determinant_range({}, 10, F.data());
    CHECK(std::isnan(range.low));
    CHECK(std::isnan(range.high));
  }
}

TEST_CASE("products are taken matrix by matrix, also in place") {
  const std::vector<double> a = numbers<double>(18, 5), b = numbers<double>(18, 6);
  std::vector<double> out = a;
  backend<double>({}).body.multiply({}, {2, out.data(), b.data(), out.data()});
  for (int p = 0; p < 2; ++p)
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) {
        double sum = 0;
        for (int k = 0; k < 3; ++k) sum += a[9 * p + 3 * i + k] * b[9 * p + 3 * k + j];
        CHECK(out[9 * p + 3 * i + j] == doctest::Approx(sum).epsilon(1e-14));
      }
}

TEST_CASE("points are scaled and shifted in double precision") {
  const std::vector<float> x = {1.f, 2.f, 3.f};
  const double center[3] = {1e3, 0, -1};
  float out[3];
  const geometry::ScaleAndShiftItem<float> item{3, x.data(), 3.0, center, out};
  for (int r = 0; r < 3; ++r) item(r);
  for (int r = 0; r < 3; ++r) CHECK(out[r] == static_cast<float>(x[r] / 3.0 + center[r]));
}
