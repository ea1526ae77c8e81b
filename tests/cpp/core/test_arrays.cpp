// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/random_numbers.hpp"
#include "core/sums.cuh"
#include "cuda/emulation.hpp"
#include "diffmpm/backend.hpp"
#include "diffmpm/core/threads.hpp"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

constexpr std::int64_t kCount = 9'000;  // three chunks of a sum

template <class T>
std::vector<T> numbers(std::uint64_t seed, double scale) {
  return testing::random_numbers<T>(kCount, seed, scale);
}

template <class T>
const ArrayFunctions<T>& arrays() {
  return backend<T>({}).arrays;
}

}  // namespace

TEST_CASE_TEMPLATE("dot and norm match plain loops for any number of threads, also for tiny numbers", T, float,
                   double) {
  for (const double size : {1.0, 1e-30}) {
    const std::vector<T> a = numbers<T>(1, size), b = numbers<T>(2, 1);
    double dot = 0, squares = 0, largest = 0;
    for (std::size_t n = 0; n < a.size(); ++n) {
      dot += double(a[n] * b[n]), squares += double(a[n]) / size * (double(a[n]) / size);
      largest = std::max(largest, std::abs(double(a[n])));
    }
    double first_dot = 0, first_norm = 0;
    for (const int threads : {1, 4}) {
      set_thread_count(threads);
      const double result = arrays<T>().dot({}, kCount, a.data(), b.data());
      const Norm norm = arrays<T>().norm({}, kCount, a.data());
      if (threads == 1) first_dot = result, first_norm = norm.value();
      CHECK(result == first_dot);
      CHECK(norm.value() == first_norm);
      CHECK(result == doctest::Approx(dot).epsilon(1e-10));
      CHECK(norm.largest == largest);
      CHECK(norm.value() / size == doctest::Approx(std::sqrt(squares)).epsilon(1e-6));
    }
    set_thread_count(0);
    EmulatedQueue queue;
    CHECK(cuda::sum_terms(queue, kCount, LargestTerm<T>{a.data()}).value == largest);
    CHECK(cuda::sum_terms(queue, kCount, DotTerm<T>{a.data(), b.data()}) == doctest::Approx(dot).epsilon(1e-10));
  }
}

TEST_CASE_TEMPLATE("NaN and infinity are detected", T, float, double) {
  const T nan = std::numeric_limits<T>::quiet_NaN(), infinity = std::numeric_limits<T>::infinity();
  std::vector<T> a = numbers<T>(2, 1.0);
  CHECK(arrays<T>().count_not_finite({}, kCount, a.data()) == 0);
  a[8999] = infinity;
  CHECK(arrays<T>().norm({}, kCount, a.data()).value() == double(infinity));
  CHECK(arrays<T>().range({}, kCount, a.data()).high == double(infinity));
  a[5000] = nan;
  CHECK(std::isnan(arrays<T>().norm({}, kCount, a.data()).value()));
  CHECK(std::isnan(arrays<T>().range({}, kCount, a.data()).low));
  CHECK(arrays<T>().count_not_finite({}, kCount, a.data()) == 2);
  const std::vector<T> zeros(10, T(0));
  CHECK(arrays<T>().norm({}, 10, zeros.data()).value() == 0);
  CHECK(arrays<T>().norm({}, 0, nullptr).value() == 0);
}

TEST_CASE_TEMPLATE("invalid particle properties are counted by name", T, float, double) {
  const T nan = std::numeric_limits<T>::quiet_NaN(), infinity = std::numeric_limits<T>::infinity();
  const std::vector<T> mass{1, 0, nan, 2}, volume{1, -1, 1, 1}, lam{0, 1, infinity, -1}, mu{0, 0, 0, 0};
  const InvalidProperties count = arrays<T>().count_invalid({}, 4, mass.data(), volume.data(), lam.data(), mu.data());
  CHECK(count.mass == 2);
  CHECK(count.volume == 1);
  CHECK(count.lam == 2);
  CHECK(count.mu == 0);
}

TEST_CASE("sums and multiples are exact, also in place") {
  const std::vector<double> a = numbers<double>(6, 1.0), b = numbers<double>(7, 1.0);
  std::vector<double> out(kCount);
  arrays<double>().add_scaled({}, {kCount, a.data(), -0.25, b.data(), out.data()});
  for (std::size_t n = 0; n < out.size(); ++n) CHECK(out[n] == a[n] - 0.25 * b[n]);
  out = a;
  arrays<double>().scale({}, {kCount, out.data(), {4.0, 3.0, 0.5}, out.data()});
  for (std::size_t n = 0; n < out.size(); ++n) CHECK(out[n] == a[n] / 4.0 * 3.0 * 0.5);
}

TEST_CASE("a ratio of zeros is 0, and its adjoint is the derivative") {
  const std::vector<double> a{0.3, 0.0, 2.0}, b{0.5, 0.0, 1e-6}, adj{1.5, 7.0, -2.0};
  std::vector<double> out(3), adj_a{1, 1, 1}, adj_b{2, 2, 2};
  arrays<double>().ratio({}, {3, a.data(), b.data(), out.data()});
  arrays<double>().ratio_vjp({}, {3, a.data(), b.data(), adj.data(), adj_a.data(), adj_b.data()});
  for (const std::size_t n : {0u, 2u}) {
    CHECK(out[n] == a[n] / b[n]);
    CHECK(adj_a[n] - 1 == doctest::Approx(adj[n] / b[n]));
    CHECK(adj_b[n] - 2 == doctest::Approx(-adj[n] * a[n] / (b[n] * b[n])));
  }
  CHECK(out[1] == 0);
  CHECK(adj_a[1] == 1);
  CHECK(adj_b[1] == 2);
}
