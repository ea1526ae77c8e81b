// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/optimize/adam.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/sums.cuh"
#include "cuda/emulation.hpp"
#include "diffmpm/core/random.hpp"
#include "diffmpm/core/threads.hpp"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

constexpr std::int64_t kCount = 9'000;  // three chunks of a sum

template <class T>
std::vector<T> numbers(std::uint64_t seed, double scale) {
  std::vector<T> v;
  for (std::int64_t n = 0; n < kCount; ++n)
    v.push_back(static_cast<T>(scale * (random_uniform(seed, static_cast<std::uint64_t>(n), 0) - 0.5)));
  return v;
}

}  // namespace

TEST_CASE_TEMPLATE("the scale of an array is that of its root mean square, also of tiny numbers", T, float, double) {
  for (const double size : {1.0, 1e-30}) {
    const std::vector<T> g = numbers<T>(1, size);
    double largest = 0, sum = 0;
    for (const T x : g) largest = std::max(largest, std::abs(double(x)));
    for (const T x : g) sum += double(x) / largest * (double(x) / largest);
    optimize::Scale first;
    for (const int threads : {1, 4}) {
      set_thread_count(threads);
      const optimize::Scale scale = optimize::unit_scale(kCount, g.data());
      if (threads == 1) first = scale;
      CHECK(scale.factor == first.factor);
      CHECK(scale.largest == largest);
      CHECK(scale.factor == doctest::Approx(std::sqrt(kCount / sum)).epsilon(1e-6));
    }
    set_thread_count(0);
    EmulatedQueue queue;
    CHECK(cuda::sum_terms(queue, kCount, LargestTerm<T>{g.data()}).value == largest);
  }
  const std::vector<T> zeros(10, T(0));
  CHECK(optimize::unit_scale(10, zeros.data()).largest == 0);
  std::vector<T> bad = numbers<T>(2, 1.0);
  bad[5000] = std::numeric_limits<T>::quiet_NaN(), bad[8999] = std::numeric_limits<T>::infinity();
  CHECK(std::isnan(optimize::unit_scale(kCount, bad.data()).largest));
  CHECK(optimize::count_not_finite(kCount, bad.data()) == 2);
}

TEST_CASE_TEMPLATE("a step of Adam is that of the paper, with moments and without", T, float, double) {
  const std::vector<T> g = numbers<T>(3, 2.0), old_mean = numbers<T>(4, 1.0);
  std::vector<T> old_square = numbers<T>(5, 1.0), mean(kCount), square(kCount), direction(kCount);
  for (T& s : old_square) s *= s;
  for (const bool first : {true, false}) {
    optimize::AdamItem<T> item{};
    item.count = kCount, item.gradient = g.data();
    item.old_mean = first ? nullptr : old_mean.data(), item.old_square = first ? nullptr : old_square.data();
    item.mean = mean.data(), item.square = square.data(), item.direction = direction.data();
    item.beta1 = T(0.9), item.rest1 = T(0.1), item.beta2 = T(0.99), item.rest2 = T(0.01), item.eps = T(1e-3);
    item.mean_factor = T(1.25), item.square_factor = T(3);
    item.normalize = true, item.largest = T(4), item.unit = T(8), item.reference = T(0.5);
    optimize::adam(item);
    for (std::int64_t n = 0; n < kCount; n += 7) {
      const double m = (first ? 0 : 0.9 * old_mean[n]) + 0.1 * g[n];
      const double s = (first ? 0 : 0.99 * old_square[n]) + 0.01 * g[n] * g[n];
      CHECK(mean[n] == doctest::Approx(m).epsilon(1e-5));
      CHECK(square[n] == doctest::Approx(s).epsilon(1e-5));
      CHECK(direction[n] == doctest::Approx(1.25 * m / (3 * std::sqrt(s) + 1e-3)).epsilon(1e-5));
    }
  }
}

TEST_CASE("a descent leaves what it starts from") {
  const std::vector<double> a = numbers<double>(6, 1.0), d = numbers<double>(7, 1.0);
  std::vector<double> out(kCount);
  optimize::descend(optimize::DescendItem<double>{kCount, 0.25, a.data(), d.data(), out.data()});
  for (std::int64_t n = 0; n < kCount; ++n) CHECK(out[n] == a[n] - 0.25 * d[n]);
}
