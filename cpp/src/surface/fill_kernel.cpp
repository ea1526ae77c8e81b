// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "fill_kernel.hpp"

#include "../core/isa.hpp"
#include "diffmpm/math/pack.hpp"
#include "diffmpm/surface/kernel.hpp"

namespace diffmpm::surface {
namespace {

using Lanes = Pack<double>;
static_assert(Lanes::kWidth <= kPadding);

Lanes lane_numbers() {
  double numbers[Lanes::kWidth];
  for (int l = 0; l < Lanes::kWidth; ++l) numbers[l] = l;
  return Lanes::load(numbers);
}

double sum_of(Lanes a) {
  double lanes[Lanes::kWidth], sum = 0;
  a.store(lanes);
  for (int l = 0; l < Lanes::kWidth; ++l) sum += lanes[l];
  return sum;
}

// Calls visit(dx, dy, dz, u, weights) for packs of points, with u clamped to 1; weights(array) loads their weights, with zeros
// beyond the end of a run.
template <class Visit>
DIFFMPM_INLINE void for_each(const FillQuery& query, const Visit& visit) {
  const Lanes qx(query.q[0]), qy(query.q[1]), qz(query.q[2]), inverse(query.inverse), numbers = lane_numbers();
  const Lanes zero(0.0), one(1.0);
  for (int run = 0; run < query.run_count; ++run) {
    const std::int32_t begin = query.runs[2 * run], end = query.runs[2 * run + 1];
    for (std::int32_t s = begin; s < end; s += Lanes::kWidth) {
      const Lanes dx = qx - Lanes::load(query.x + s), dy = qy - Lanes::load(query.y + s),
                  dz = qz - Lanes::load(query.z + s);
      const Lanes u = (dx * dx + dy * dy + dz * dz) * inverse;
      visit(dx, dy, dz, select(u < one, u, one), [&](const double* weight) {
        return select(numbers < Lanes(static_cast<double>(end - s)), Lanes::load(weight + s), zero);
      });
    }
  }
}

void sums(const FillQuery& query, FillSums& out) {
  Lanes value(0.0), sx(0.0), sy(0.0), sz(0.0), mx(0.0), my(0.0), mz(0.0);
  for_each(query, [&](Lanes dx, Lanes dy, Lanes dz, Lanes u, const auto& weights) {
    const Lanes weight = weights(query.weight);
    const Lanes w = weight * density_kernel(u), slope = weight * density_kernel_slope(u);
    value += w;
    sx += slope * dx, sy += slope * dy, sz += slope * dz;
    mx += w * dx, my += w * dy, mz += w * dz;
  });
  out.value = sum_of(value);
  out.slope[0] = sum_of(sx), out.slope[1] = sum_of(sy), out.slope[2] = sum_of(sz);
  out.moment[0] = sum_of(mx), out.moment[1] = sum_of(my), out.moment[2] = sum_of(mz);
}

double ratio(const FillQuery& query, const double* other) {
  Lanes value(0.0), divisor(0.0);
  for_each(query, [&](Lanes, Lanes, Lanes, Lanes u, const auto& weights) {
    const Lanes kernel = density_kernel(u);
    value += weights(query.weight) * kernel, divisor += weights(other) * kernel;
  });
  return sum_of(value) / sum_of(divisor);
}

}  // namespace

}  // namespace diffmpm::surface

namespace diffmpm {

template <>
const surface::FillKernels& isa_table<IsaLevel::DIFFMPM_ISA, surface::FillKernels>() {
  static constexpr surface::FillKernels kTable = {&surface::sums, &surface::ratio};
  return kTable;
}

}  // namespace diffmpm
