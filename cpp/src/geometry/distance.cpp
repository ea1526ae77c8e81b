// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/geometry/distance.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "diffmpm/core/memory.hpp"
#include "diffmpm/core/parallel.hpp"

namespace diffmpm::geometry {
namespace {

// Squared distance of nodes without a marked node; above that of any grid.
constexpr std::int64_t kNone = std::int64_t{1} << 60;

// Largest integer x with (x - i)^2 + a_i <= (x - u)^2 + a_u, for i < u.
std::int64_t separation(std::int64_t i, std::int64_t u, std::int64_t a_i, std::int64_t a_u) {
  const std::int64_t numerator = u * u - i * i + a_u - a_i, denominator = 2 * (u - i);
  const std::int64_t quotient = numerator / denominator;
  return numerator % denominator < 0 ? quotient - 1 : quotient;
}

// Lower envelope of the parabolas (x - i)^2 + line[i] at the nodes of one line.
// Source: Meijster, Roerdink and Hesselink 2000, A general algorithm for computing distance transforms in linear time.
struct Envelope {
  std::vector<std::int64_t> at, from, line;
  explicit Envelope(std::int64_t n) : at(n), from(n), line(n) {}

  void run(std::int64_t* values, std::int64_t n, std::int64_t stride) {
    std::int64_t top = -1;
    for (std::int64_t u = 0; u < n; ++u) {
      const std::int64_t a = values[u * stride];
      line[u] = a;
      if (a >= kNone) continue;
      std::int64_t start = 0;
      for (; top >= 0; --top) {
        const std::int64_t i = at[top];
        start = separation(i, u, line[i], a) + 1;
        if (start > from[top]) break;
        start = 0;
      }
      if (start >= n) continue;
      ++top;
      at[top] = u, from[top] = start;
    }
    if (top < 0) return;
    for (std::int64_t x = n - 1; x >= 0; --x) {
      while (from[top] > x) --top;
      const std::int64_t i = at[top];
      values[x * stride] = (x - i) * (x - i) + line[i];
    }
  }
};

}  // namespace

void distance_to_marked(const std::uint8_t* marked, const std::int64_t* dims, double* distance) {
  const std::int64_t count = dims[0] * dims[1] * dims[2];
  const Buffer<std::int64_t> buffer(count);
  std::int64_t* const squared = buffer.data();
  parallel_for(count, 4096, [&](std::int64_t n) { squared[n] = marked[n] ? 0 : kNone; });
  for (int axis = 0; axis < 3; ++axis) {
    const std::int64_t length = dims[axis];
    if (count == 0) return;
    std::int64_t stride = 1;
    for (int a = axis + 1; a < 3; ++a) stride *= dims[a];
    parallel_for_with(
        count / length, 32, thread_count(), [&] { return Envelope(length); },
        [&](Envelope& envelope, std::int64_t n) {
          envelope.run(squared + n / stride * stride * length + n % stride, length, stride);
        });
  }
  parallel_for(count, 4096, [&](std::int64_t n) {
    const std::int64_t s = squared[n];
    distance[n] = s >= kNone ? std::numeric_limits<double>::infinity() : std::sqrt(static_cast<double>(s));
  });
}

}  // namespace diffmpm::geometry
