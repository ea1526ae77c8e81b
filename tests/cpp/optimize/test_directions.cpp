// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/optimize/directions.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "core/random_numbers.hpp"

using namespace diffmpm;

namespace {

constexpr std::int64_t kCount = 9'000;  // three chunks of a sum

template <class T>
std::vector<T> numbers(std::uint64_t seed, double scale) {
  return testing::random_numbers<T>(kCount, seed, scale);
}

double rms_of(const std::vector<double>& a) {
  double sum = 0;
  for (const double x : a) sum += x * x;
  return std::sqrt(sum / double(a.size()));
}

}  // namespace

TEST_CASE("a gradient is scaled to a root mean square, and zeros stay zeros") {
  for (const double size : {1.0, 1e-200}) {
    const std::vector<double> g = numbers<double>(1, size);
    std::vector<double> out(kCount);
    optimize::scale_to_rms<double>({}, kCount, g.data(), 0.25, out.data());
    CHECK(rms_of(out) == doctest::Approx(0.25));
    CHECK(out[5] / out[6] == doctest::Approx(g[5] / g[6]));
  }
  const std::vector<double> zeros(10, 0.0);
  std::vector<double> out(10, 1.0);
  optimize::scale_to_rms<double>({}, 10, zeros.data(), 0.25, out.data());
  CHECK(out == zeros);
}

TEST_CASE_TEMPLATE("a step of Adam is that of the paper, with moments and without", T, float, double) {
  const std::vector<T> g = numbers<T>(3, 2.0), old_mean = numbers<T>(4, 1.0);
  std::vector<T> old_square = numbers<T>(5, 1.0), mean(kCount), square(kCount), direction(kCount);
  for (T& s : old_square) s *= s;
  const double scale = 0.5 / rms_of({g.begin(), g.end()});
  for (const bool first : {true, false})
    for (const double rms : {0.0, 0.5}) {
      const optimize::AdamOptions options{0.9, 0.99, 1e-3, first ? 1 : 4, rms};
      optimize::adam<T>({}, kCount, options, g.data(), first ? nullptr : old_mean.data(),
                        first ? nullptr : old_square.data(), mean.data(), square.data(), direction.data());
      const double power = double(options.step), unbias = 1 - std::pow(0.9, power);
      const double unbias_square = 1 - std::pow(0.99, power);
      for (std::size_t n = 0; n < g.size(); n += 7) {
        const double x = rms > 0 ? scale * g[n] : g[n];
        const double m = (first ? 0 : 0.9 * old_mean[n]) + 0.1 * x,
                     s = (first ? 0 : 0.99 * old_square[n]) + 0.01 * x * x;
        CHECK(mean[n] == doctest::Approx(m).epsilon(1e-5));
        CHECK(square[n] == doctest::Approx(s).epsilon(1e-5));
        CHECK(direction[n] == doctest::Approx(m / unbias / (std::sqrt(s / unbias_square) + 1e-3)).epsilon(1e-5));
      }
    }
}

TEST_CASE("L-BFGS with a full memory inverts a diagonal Hessian") {
  constexpr std::int64_t kAxes = 4;
  const std::vector<double> hessian{1, 2, 5, 9}, g{3, -1, 2, 4};
  std::vector<std::vector<double>> arrays;
  for (std::int64_t k = 0; k < kAxes; ++k) {
    std::vector<double> step(kAxes, 0.0), change(kAxes, 0.0);
    step[std::size_t(k)] = 0.3, change[std::size_t(k)] = 0.3 * hessian[std::size_t(k)];
    arrays.push_back(step), arrays.push_back(change);
  }
  std::vector<optimize::LbfgsPair<double>> pairs;
  for (std::size_t k = 0; k < kAxes; ++k) pairs.push_back({arrays[2 * k].data(), arrays[2 * k + 1].data()});
  std::vector<double> direction(kAxes);
  optimize::lbfgs<double>({}, kAxes, pairs, g.data(), direction.data());
  for (std::size_t k = 0; k < kAxes; ++k) CHECK(direction[k] == doctest::Approx(g[k] / hessian[k]));
}
