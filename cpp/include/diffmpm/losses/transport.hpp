// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>

#include "diffmpm/core/arrays.hpp"
#include "diffmpm/core/macros.hpp"
#include "diffmpm/core/memory.hpp"
#include "diffmpm/losses/losses.hpp"
#include "diffmpm/losses/softmin.hpp"

// Entropic optimal transport between masses on a grid (docs/method.md, section 4), as sequences of passes shared by all backends.
// Lengths are cells: the cost of moving from node i to node j is |i - j|^2 / 2. A backend provides a class `Passes`:
//
//   Buffer<V> allocate<V>(count);                       uninitialised memory
//   void for_all(item);                                 item(n) for n < item.count, in any order
//   put_sum(passes, count, term, double* total);        total = sum of term(n), in a fixed order
//   void log_sums(length, lines, h, slope, out);        out[line][x] = log2 sum_y 2^(h[y][line] - slope (x - y)^2)

DIFFMPM_BEGIN_ISA

inline constexpr double kLn2 = 0.69314718055994530942;
// Step of the relaxation of a potential of a measure with itself. The plain iteration has the eigenvalues 0 to -1; with 2/3 each
// sweep divides every error by at least three.
inline constexpr double kSelfStep = 2.0 / 3.0;
// Overrelaxation of the alternating sweeps after the first one at the last temperature: three to five times fewer sweeps for the
// same error than without (Thibault et al. 2021, Overrelaxed Sinkhorn-Knopp algorithm for regularized optimal transport).
inline constexpr double kCrossStep = 1.5;
// Ratio of successive temperatures of the ladder. With 1/4 the gradient has two to three times the error.
inline constexpr double kLadder = 0.5;

template <class T>
struct TotalTerm {
  const T* m;
  DIFFMPM_HD double operator()(std::int64_t n) const { return static_cast<double>(m[n]); }
};

// Mass over the total mass, and its log2.
template <class T>
struct Normalize {
  std::int64_t count;
  const T* m;
  const double* total;
  T *weight, *log_weight;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    weight[n] = static_cast<T>(static_cast<double>(m[n]) / *total);
    log_weight[n] =
        weight[n] > T(0) ? static_cast<T>(std::log2(static_cast<double>(weight[n]))) : static_cast<T>(kLogOfZero);
  }
};

// dual += step (soft minimum - dual), or the soft minimum itself.
template <class T>
struct Relax {
  std::int64_t count;
  const T* log_sum;
  T temperature;  // times ln 2
  T step;
  T* dual;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    const T softmin = -temperature * log_sum[n];
    dual[n] = step == T(1) ? softmin : dual[n] + step * (softmin - dual[n]);
  }
};

// dual = (dual + other) / 2.
template <class T>
struct Average {
  std::int64_t count;
  const T* other;
  T* dual;

  DIFFMPM_HD void operator()(std::int64_t n) const { dual[n] = T(0.5) * (dual[n] + other[n]); }
};

// weight . dual
template <class T>
struct DualTerm {
  const T *weight, *dual;
  DIFFMPM_HD double operator()(std::int64_t n) const {
    return static_cast<double>(weight[n]) * static_cast<double>(dual[n]);
  }
};

// weight . p - temperature / 2 (weight . exp((p - S) / temperature) - 1), whose derivative with respect to p vanishes at the fixed
// point p = S of the soft minimum, so that the error of the value is of second order. Writes d value / d weight for a fixed p.
template <class T>
struct SelfTerm {
  const T *weight, *dual, *softmin;
  T temperature;
  T* slope;

  DIFFMPM_HD double operator()(std::int64_t n) const {
    if (!(weight[n] > T(0))) {
      slope[n] = softmin[n] - temperature;
      return 0;
    }
    const T ratio = std::exp((dual[n] - softmin[n]) / temperature);
    slope[n] = dual[n] - temperature * ratio;
    const T gap = T(0.5) * temperature * (ratio - T(1));
    return static_cast<double>(weight[n]) * (static_cast<double>(dual[n]) - static_cast<double>(gap));
  }
};

// Chain rule of the normalisation: adj_m = (slope - weight . slope) / total.
template <class T>
struct NormalizeAdjoint {
  std::int64_t count;
  const double *total, *mean;
  T* slope;  // becomes adj_m

  DIFFMPM_HD void operator()(std::int64_t n) const {
    slope[n] = static_cast<T>((static_cast<double>(slope[n]) - *mean) / *total);
  }
};

// A measure on the grid.
template <class T>
struct Measure {
  Buffer<double> total;
  Buffer<T> weight, log_weight;
};

template <class T, class Passes>
class Transport {
 public:
  Transport(Passes& passes, const TransportOptions& options)
      : passes_(passes),
        options_(options),
        count_(options.dims[0] * options.dims[1] * options.dims[2]),
        h_(passes.template allocate<T>(count_)),
        other_(passes.template allocate<T>(count_)) {}

  // Transport from m to target or, without one, half of that from m to itself. `dual`, in and out; writes adj_m.
  void evaluate(const T* m, const T* target, T* dual, T* adj_m, double* value) {
    target ? cross(m, target, dual, adj_m, value) : self(m, dual, adj_m, value);
  }

 private:
  // Eq. 4.10: entropic transport from m to target, both normalised. `dual` of the target.
  void cross(const T* m, const T* target, T* dual, T* adj_m, double* value) {
    const Measure<T> a = measure(m), b = measure(target);
    const Buffer<T> other = passes_.template allocate<T>(count_);
    T* const f = adj_m;
    ladder([&](double temperature, bool first) {
      if (first) {
        softmin(b, dual, temperature, 1, f);
        softmin(a, f, temperature, 1, dual);
        return;
      }
      // Both potentials move half of the way at once: what a lower temperature changes in both alike is then right at once, while
      // alternating sweeps turn it into an error that decays slowly.
      softmin(b, dual, temperature, 1, other.data());
      softmin(a, f, temperature, T(0.5), dual);
      passes_.for_all(Average<T>{count_, other.data(), f});
    });
    const double last = options_.temperature;
    for (int n = 0; n < options_.sweeps; ++n) {
      const T step = n == 0 ? T(1) : static_cast<T>(kCrossStep);
      softmin(b, dual, last, step, f);
      softmin(a, f, last, step, dual);
    }
    softmin(b, dual, last, 1, adj_m);
    const auto mean = passes_.template allocate<double>(1);
    put_sum(passes_, count_, DualTerm<T>{a.weight.data(), adj_m}, mean.data());
    put_sum(passes_, count_, DualTerm<T>{b.weight.data(), dual}, value);
    passes_.for_all(AddScaledItem<double>{1, value, 1, mean.data(), value});
    passes_.for_all(NormalizeAdjoint<T>{count_, a.total.data(), mean.data(), adj_m});
  }

  void self(const T* m, T* dual, T* adj_m, double* value) {
    const Measure<T> a = measure(m);
    const double last = options_.temperature;
    const auto sweep = [&](double temperature) { softmin(a, dual, temperature, static_cast<T>(kSelfStep), dual); };
    ladder([&](double temperature, bool) { sweep(temperature); });
    for (int n = 0; n < options_.sweeps; ++n) sweep(last);
    const auto target = passes_.template allocate<T>(count_);
    softmin(a, dual, last, 1, target.data());
    put_sum(passes_, count_, SelfTerm<T>{a.weight.data(), dual, target.data(), static_cast<T>(last), adj_m}, value);
    const auto mean = passes_.template allocate<double>(1);
    put_sum(passes_, count_, DualTerm<T>{a.weight.data(), adj_m}, mean.data());
    passes_.for_all(NormalizeAdjoint<T>{count_, a.total.data(), mean.data(), adj_m});
  }

  Measure<T> measure(const T* m) {
    Measure<T> out{passes_.template allocate<double>(1), passes_.template allocate<T>(count_),
                   passes_.template allocate<T>(count_)};
    put_sum(passes_, count_, TotalTerm<T>{m}, out.total.data());
    passes_.for_all(Normalize<T>{count_, m, out.total.data(), out.weight.data(), out.log_weight.data()});
    return out;
  }

  // Calls sweep(temperature, first) for falling temperatures above the last one, and once for the last one; not at all if the first
  // one is the last.
  template <class Sweep>
  void ladder(const Sweep& sweep) {
    const double first = options_.first_temperature, last = options_.temperature;
    if (!(first > last)) return;
    for (double t = first; t > last; t *= kLadder) sweep(t, t == first);
    sweep(last, false);
  }

  // Eq. 4.11: soft minimum over the nodes j of a measure of |i - j|^2 / 2 - dual[j], for all nodes i; moves `out` towards it.
  void softmin(const Measure<T>& over, const T* dual, double temperature, T step, T* out) {
    const double scale = temperature * kLn2;
    // Exponents of its terms: log2 weight + dual / scale.
    passes_.for_all(AddScaledItem<T>{count_, over.log_weight.data(), static_cast<T>(1 / scale), dual, h_.data()});
    // Each pass sums over the first axis and makes it the last one.
    for (const std::int64_t length : options_.dims) {
      passes_.log_sums(length, count_ / length, h_.data(), 0.5 / scale, other_.data());
      std::swap(h_, other_);
    }
    passes_.for_all(Relax<T>{count_, h_.data(), static_cast<T>(scale), step, out});
  }

  Passes& passes_;
  TransportOptions options_;
  std::int64_t count_;
  Buffer<T> h_, other_;
};

DIFFMPM_END_ISA
