// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/optimize/directions.hpp"

#include "core/queue.cuh"

namespace diffmpm::optimize {
namespace {

template <class T>
void adam_step(const Context& context, const AdamItem<T>& item) {
  cuda::Queue(context).for_all(item);
}

}  // namespace

template <class T>
const OptimizeFunctions<T>& OptimizeFunctions<T>::cuda() {
  static constexpr OptimizeFunctions kTable{optimize::adam_step<T>};
  return kTable;
}

template const OptimizeFunctions<float>& OptimizeFunctions<float>::cuda();
template const OptimizeFunctions<double>& OptimizeFunctions<double>::cuda();

}  // namespace diffmpm::optimize
