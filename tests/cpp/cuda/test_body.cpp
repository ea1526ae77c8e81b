// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/sums.cuh"
#include "cuda/emulation.hpp"
#include "diffmpm/backend.hpp"
#include "diffmpm/core/random.hpp"

using namespace diffmpm;
using namespace diffmpm::testing;

TEST_CASE_TEMPLATE("reductions over a body match the CPU", T, float, double) {
  constexpr std::int64_t kCount = 5'000;
  std::vector<T> a, F;
  for (std::int64_t n = 0; n < 3 * kCount; ++n)
    a.push_back(static_cast<T>(random_uniform(1, static_cast<std::uint64_t>(n), 0)));
  for (std::int64_t n = 0; n < 9 * kCount; ++n)
    F.push_back(static_cast<T>(random_uniform(2, static_cast<std::uint64_t>(n), 0)));
  EmulatedQueue queue;
  const Range expected = backend<T>({}).body.determinant_range({}, kCount, F.data());
  Range range = cuda::sum_terms(queue, kCount, geometry::DeterminantTerm<T>{F.data()});
  CHECK(range.low == expected.low);
  CHECK(range.high == expected.high);
  CHECK(cuda::sum_terms(queue, kCount, geometry::SquareTerm<T>{a.data()}) / kCount ==
        doctest::Approx(backend<T>({}).body.mean_square({}, kCount, a.data())).epsilon(1e-13));
  F[3] = std::numeric_limits<T>::quiet_NaN();
  range = cuda::sum_terms(queue, kCount, geometry::DeterminantTerm<T>{F.data()});
  CHECK(std::isnan(range.low));
  CHECK(std::isnan(range.high));
}
