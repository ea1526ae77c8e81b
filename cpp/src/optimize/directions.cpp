// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/optimize/directions.hpp"

#include <cmath>

#include "diffmpm/backend.hpp"

namespace diffmpm::optimize {
namespace {

template <class T>
Scaling<T> scaling_to_rms(const Context& context, std::int64_t count, const T* a, double rms) {
  const Norm norm = backend<T>(context).arrays.norm(context, count, a);
  if (norm.largest == 0) return {T(1), T(1), static_cast<T>(rms)};
  const double factor = std::sqrt(static_cast<double>(count) / norm.squares);
  return {static_cast<T>(norm.largest), static_cast<T>(factor), static_cast<T>(rms)};
}

}  // namespace

template <class T>
void adam(const Context& context, std::int64_t count, const AdamOptions& options, const T* gradient, const T* old_mean,
          const T* old_square, T* mean, T* square, T* direction) {
  const auto power = static_cast<double>(options.step);
  AdamItem<T> item{};
  item.count = count, item.gradient = gradient;
  item.old_mean = old_mean, item.old_square = old_square;
  item.mean = mean, item.square = square, item.direction = direction;
  if (options.rms > 0) item.scaling = scaling_to_rms(context, count, gradient, options.rms);
  item.beta1 = static_cast<T>(options.beta1), item.rest1 = static_cast<T>(1 - options.beta1);
  item.beta2 = static_cast<T>(options.beta2), item.rest2 = static_cast<T>(1 - options.beta2);
  item.mean_factor = static_cast<T>(1 / (1 - std::pow(options.beta1, power)));
  item.square_factor = static_cast<T>(std::pow(1 - std::pow(options.beta2, power), -0.5));
  item.eps = static_cast<T>(options.eps);
  backend<T>(context).optimize.adam_step(context, item);
}

template <class T>
void scale_to_rms(const Context& context, std::int64_t count, const T* gradient, double rms, T* out) {
  backend<T>(context).arrays.scale(context, {count, gradient, scaling_to_rms(context, count, gradient, rms), out});
}

template <class T>
void lbfgs(const Context& context, std::int64_t count, const std::vector<LbfgsPair<T>>& pairs, const T* gradient,
           T* direction) {
  const ArrayFunctions<T>& arrays = backend<T>(context).arrays;
  struct Factors {
    double rho, alpha;
  };
  std::vector<Factors> factors;
  const T* q = gradient;
  for (auto pair = pairs.rbegin(); pair != pairs.rend(); ++pair) {
    const double rho = 1 / arrays.dot(context, count, pair->step, pair->change);
    const double alpha = rho * arrays.dot(context, count, pair->step, q);
    factors.push_back({rho, alpha});
    arrays.add_scaled(context, {count, q, static_cast<T>(-alpha), pair->change, direction});
    q = direction;
  }
  const auto [step, change] = pairs.back();
  const double curvature = arrays.dot(context, count, change, change);
  const double scale = arrays.dot(context, count, step, change) / curvature;
  arrays.scale(context, {count, direction, {T(1), static_cast<T>(scale), T(1)}, direction});
  for (const LbfgsPair<T>& pair : pairs) {
    const auto [rho, alpha] = factors.back();
    factors.pop_back();
    const double beta = rho * arrays.dot(context, count, pair.change, direction);
    arrays.add_scaled(context, {count, direction, static_cast<T>(alpha - beta), pair.step, direction});
  }
}

#define DIFFMPM_DIRECTIONS(T)                                                                                        \
  template void adam<T>(const Context&, std::int64_t, const AdamOptions&, const T*, const T*, const T*, T*, T*, T*); \
  template void scale_to_rms<T>(const Context&, std::int64_t, const T*, double, T*);                                 \
  template void lbfgs<T>(const Context&, std::int64_t, const std::vector<LbfgsPair<T>>&, const T*, T*);
DIFFMPM_DIRECTIONS(float)
DIFFMPM_DIRECTIONS(double)
#undef DIFFMPM_DIRECTIONS

}  // namespace diffmpm::optimize
