// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "diffmpm/core/arrays.hpp"

// Search directions of the optimisers, on arrays of any shape.

namespace diffmpm::optimize {

// One step of Adam (Kingma and Ba 2015) on g = scaling(gradient), in one pass:
//   mean = beta1 mean + (1 - beta1) g,   square = beta2 square + (1 - beta2) g^2,
//   direction = mean_factor mean / (square_factor sqrt(square) + eps).
template <class T>
struct AdamItem {
  std::int64_t count;
  const T* gradient;
  const T *old_mean, *old_square;  // null: zeros
  T *mean, *square, *direction;
  Scaling<T> scaling;
  T beta1, beta2, rest1, rest2;  // rest = 1 - beta
  T mean_factor, square_factor, eps;

  DIFFMPM_HD void operator()(std::int64_t n) const {
    const T g = scaling(gradient[n]);
    T m = g * rest1, s = g * g * rest2;
    if (old_mean) m += beta1 * old_mean[n], s += beta2 * old_square[n];
    mean[n] = m, square[n] = s;
    direction[n] = m / (std::sqrt(s) * square_factor + eps) * mean_factor;
  }
};

template <class T>
struct OptimizeFunctions {
  void (*adam_step)(const Context&, const AdamItem<T>&);
};

struct AdamOptions {
  double beta1, beta2, eps;
  std::int64_t step;  // from 1, for the bias correction
  double rms;         // root mean square to which the gradient is scaled first; 0 leaves it as it is
};

// Direction and moments of a step of Adam. `old_mean` and `old_square` may be null: zeros.
template <class T>
void adam(const Context& context, std::int64_t count, const AdamOptions& options, const T* gradient, const T* old_mean,
          const T* old_square, T* mean, T* square, T* direction);

// The gradient scaled to a root mean square; a zero gradient stays zero.
template <class T>
void scale_to_rms(const Context& context, std::int64_t count, const T* gradient, double rms, T* out);

// A step and the change of the gradient along it.
template <class T>
struct LbfgsPair {
  const T *step, *change;
};

// Two-loop recursion of L-BFGS (Nocedal and Wright 2006, algorithm 7.4) over at least one pair, oldest first.
template <class T>
void lbfgs(const Context& context, std::int64_t count, const std::vector<LbfgsPair<T>>& pairs, const T* gradient,
           T* direction);

}  // namespace diffmpm::optimize
