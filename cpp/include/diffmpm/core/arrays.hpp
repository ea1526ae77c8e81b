// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "diffmpm/core/context.hpp"
#include "diffmpm/core/macros.hpp"

// Arithmetic and reductions on arrays of any shape. Sums are taken in double precision in an order that depends on the count
// alone: equal bits for any number of threads.

namespace diffmpm {

// Maximum of values >= 0, as a sum; NaN propagates.
struct Largest {
  double value = 0;
  DIFFMPM_HD Largest& operator+=(const Largest& o) {
    if (value == value && !(o.value <= value)) value = o.value;
    return *this;
  }
};

// Minimum and maximum, as a sum; both are NaN if a value is.
struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
  DIFFMPM_HD Range& operator+=(const Range& o) {
    if (low == low && !(o.low >= low)) low = o.low;
    if (high == high && !(o.high <= high)) high = o.high;
    return *this;
  }
};

template <class T>
struct LargestTerm {
  const T* a;
  DIFFMPM_HD Largest operator()(std::int64_t n) const { return {std::abs(static_cast<double>(a[n]))}; }
};

template <class T>
struct RangeTerm {
  const T* a;
  DIFFMPM_HD Range operator()(std::int64_t n) const { return {static_cast<double>(a[n]), static_cast<double>(a[n])}; }
};

template <class T>
struct NotFiniteTerm {
  const T* a;
  DIFFMPM_HD std::int64_t operator()(std::int64_t n) const { return a[n] - a[n] == T(0) ? 0 : 1; }
};

// Products are rounded to T, their sum is not.
template <class T>
struct DotTerm {
  const T *a, *b;
  DIFFMPM_HD double operator()(std::int64_t n) const { return static_cast<double>(a[n] * b[n]); }
};

// Relative to the largest value: squares of tiny float32 numbers would underflow.
template <class T>
struct ScaledSquareTerm {
  const T* a;
  T largest;
  DIFFMPM_HD double operator()(std::int64_t n) const {
    const T s = a[n] / largest;
    return static_cast<double>(s * s);
  }
};

// L2 norm in two factors.
struct Norm {
  double largest = 0;  // max |a[n]|
  double squares = 0;  // sum of (a[n] / largest)^2, or 0 if `largest` is 0 or not finite

  double value() const { return squares > 0 ? largest * std::sqrt(squares) : largest; }
};

// Numbers of invalid values among the particle properties: not finite, or of the wrong sign.
struct InvalidProperties {
  std::int64_t mass, volume, lam, mu;
  DIFFMPM_HD InvalidProperties& operator+=(const InvalidProperties& o) {
    mass += o.mass, volume += o.volume, lam += o.lam, mu += o.mu;
    return *this;
  }
};

template <class T>
struct InvalidPropertiesTerm {
  const T *mass, *volume, *lam, *mu;
  DIFFMPM_HD InvalidProperties operator()(std::int64_t n) const {
    return {invalid(mass[n], false), invalid(volume[n], false), invalid(lam[n], true), invalid(mu[n], true)};
  }
  DIFFMPM_HD static std::int64_t invalid(T value, bool zero) {
    return value - value == T(0) && (value > T(0) || (zero && value == T(0))) ? 0 : 1;
  }
};

// a / divisor * factor * rms, multiplied in this order.
template <class T>
struct Scaling {
  T divisor = 1, factor = 1, rms = 1;
  DIFFMPM_HD T operator()(T a) const { return a / divisor * factor * rms; }
};

template <class T>
struct ScaleItem {
  std::int64_t count;
  const T* a;
  Scaling<T> scaling;
  T* out;
  DIFFMPM_HD void operator()(std::int64_t n) const { out[n] = scaling(a[n]); }
};

template <class T>
struct AddScaledItem {
  std::int64_t count;
  const T* a;
  T factor;
  const T* b;
  T* out;
  DIFFMPM_HD void operator()(std::int64_t n) const { out[n] = a[n] + factor * b[n]; }
};

// a / b for b >= 0, and 0 where both are 0. The smallest normal number is lost in any other b.
template <class T>
struct RatioItem {
  std::int64_t count;
  const T *a, *b;
  T* out;
  DIFFMPM_HD void operator()(std::int64_t n) const { out[n] = a[n] / divisor(b[n]); }
  DIFFMPM_HD static T divisor(T b) { return b + std::numeric_limits<T>::min(); }
};

// Adds to the cotangents of a and b; nothing passes where b is 0.
template <class T>
struct RatioVjpItem {
  std::int64_t count;
  const T *a, *b, *adj;
  T *adj_a, *adj_b;
  DIFFMPM_HD void operator()(std::int64_t n) const {
    const T divisor = RatioItem<T>::divisor(b[n]);
    const T change = adj[n] * (b[n] / divisor) / divisor;
    adj_a[n] += change, adj_b[n] -= change * (a[n] / divisor);
  }
};

// Rows of `width` values; `count` counts values.
template <class T>
struct TakeRowsItem {
  std::int64_t count, width;
  const std::int32_t* rows;
  const T* a;
  T* out;
  DIFFMPM_HD void operator()(std::int64_t n) const { out[n] = a[rows[n / width] * width + n % width]; }
};

template <class T>
struct AddRowsItem {
  std::int64_t count, width;
  const std::int32_t* rows;
  const T* values;
  T* a;
  DIFFMPM_HD void operator()(std::int64_t n) const { a[rows[n / width] * width + n % width] += values[n]; }
};

template <class T>
struct ArrayFunctions {
  double (*dot)(const Context&, std::int64_t count, const T* a, const T* b);
  Norm (*norm)(const Context&, std::int64_t count, const T* a);
  Range (*range)(const Context&, std::int64_t count, const T* a);
  std::int64_t (*count_not_finite)(const Context&, std::int64_t count, const T* a);
  // Arrays [count].
  InvalidProperties (*count_invalid)(const Context&, std::int64_t count, const T* mass, const T* volume, const T* lam,
                                     const T* mu);
  void (*clear)(const Context&, std::int64_t count, T* out);
  void (*copy)(const Context&, std::int64_t count, const T* a, T* out);
  // In the next two `out` may be an operand.
  void (*scale)(const Context&, const ScaleItem<T>&);
  void (*add_scaled)(const Context&, const AddScaledItem<T>&);
  void (*ratio)(const Context&, const RatioItem<T>&);
  void (*ratio_vjp)(const Context&, const RatioVjpItem<T>&);
  // out[r] = a[rows[r]] and a[rows[r]] += values[r]; the latter needs distinct rows.
  void (*take_rows)(const Context&, const TakeRowsItem<T>&);
  void (*add_rows)(const Context&, const AddRowsItem<T>&);
};

template <class Queue, class Term>
auto run_sum(const Context& context, std::int64_t count, const Term& term) {
  Queue queue(context);
  return sum_terms(queue, count, term);
}
// Calls item(n) for n < item.count, in any order.
template <class Queue, class Item>
void run_item(const Context& context, const Item& item) {
  Queue(context).for_all(item);
}

// The functions of the backend of a queue, HostQueue or cuda::Queue.
template <class T, class Queue>
constexpr ArrayFunctions<T> array_functions() {
  using Count = std::int64_t;
  return {[](const Context& c, Count n, const T* a, const T* b) { return run_sum<Queue>(c, n, DotTerm<T>{a, b}); },
          [](const Context& c, Count n, const T* a) -> Norm {
            const double largest = run_sum<Queue>(c, n, LargestTerm<T>{a}).value;
            if (!(largest > 0 && std::isfinite(largest))) return {largest, 0};
            return {largest, run_sum<Queue>(c, n, ScaledSquareTerm<T>{a, static_cast<T>(largest)})};
          },
          [](const Context& c, Count n, const T* a) { return run_sum<Queue>(c, n, RangeTerm<T>{a}); },
          [](const Context& c, Count n, const T* a) { return run_sum<Queue>(c, n, NotFiniteTerm<T>{a}); },
          [](const Context& c, Count n, const T* mass, const T* volume, const T* lam, const T* mu) {
            return run_sum<Queue>(c, n, InvalidPropertiesTerm<T>{mass, volume, lam, mu});
          },
          [](const Context& c, Count n, T* out) { Queue(c).clear(out, n); },
          [](const Context& c, Count n, const T* a, T* out) { Queue(c).copy(out, a, n); },
          run_item<Queue, ScaleItem<T>>,
          run_item<Queue, AddScaledItem<T>>,
          run_item<Queue, RatioItem<T>>,
          run_item<Queue, RatioVjpItem<T>>,
          run_item<Queue, TakeRowsItem<T>>,
          run_item<Queue, AddRowsItem<T>>};
}

}  // namespace diffmpm
