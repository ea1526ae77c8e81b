// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "softmin_kernel.hpp"

#include <algorithm>

#include "../core/isa.hpp"
#include "diffmpm/losses/softmin.hpp"
#include "diffmpm/math/pack.hpp"

namespace diffmpm {
namespace {

constexpr int kOut = 4;  // outputs at once: independent chains of maxima

template <class T>
void log_sums_pass(int length, std::int64_t first, std::int64_t end, const T* h, const T* cost, T* scratch, T* out) {
  using P = Pack<T>;
  const int lines = static_cast<int>(std::min<std::int64_t>(P::kWidth, end - first));
  for (int y = 0; y < length; ++y)
    for (int l = 0; l < P::kWidth; ++l) scratch[y * P::kWidth + l] = h[y * end + first + std::min(l, lines - 1)];
  const auto load = [&](int y) { return P::load(scratch + y * P::kWidth); };
  for (int x = 0; x < length; x += kOut) {
    int at[kOut];
    for (int k = 0; k < kOut; ++k) at[k] = std::min(x + k, length - 1);
    P sums[kOut];
    log_sums(length, at, cost, load, sums);
    for (int k = 0; k < kOut && x + k < length; ++k) {
      T lanes[P::kWidth];
      sums[k].store(lanes);
      for (int l = 0; l < lines; ++l) out[l * length + x + k] = lanes[l];
    }
  }
}

}  // namespace

template <>
const SoftminKernels<float>& isa_table<IsaLevel::DIFFMPM_ISA, SoftminKernels<float>>() {
  static constexpr SoftminKernels<float> kTable{Pack<float>::kWidth, log_sums_pass<float>};
  return kTable;
}

template <>
const SoftminKernels<double>& isa_table<IsaLevel::DIFFMPM_ISA, SoftminKernels<double>>() {
  static constexpr SoftminKernels<double> kTable{Pack<double>::kWidth, log_sums_pass<double>};
  return kTable;
}

}  // namespace diffmpm
