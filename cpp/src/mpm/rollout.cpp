// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/mpm/rollout.hpp"

#include <memory>

#include "backend.hpp"
#include "diffmpm/mpm/grid_mass.hpp"
#include "diffmpm/mpm/trajectory.hpp"

namespace diffmpm {

template <class T>
const MpmFunctions<T>& MpmFunctions<T>::host() {
  using Backend = CpuBackend<T>;
  static constexpr MpmFunctions kTable{
      [](const Context&, const MpmParams& params, const RolloutInput<T>& input) -> std::unique_ptr<Rollout<T>> {
        return std::make_unique<Trajectory<Backend>>(params, input, Backend(params));
      },
      [](const Context&, const MpmParams& params, std::int64_t count, const T* x, const T* mass, T* out) {
        MassTransfer<Backend>(params, count, x, mass, Backend(params)).forward(out);
      },
      [](const Context&, const MpmParams& params, std::int64_t count, const T* x, const T* mass, const T* adj_out,
         T* adj_x, T* adj_mass) {
        MassTransfer<Backend>(params, count, x, mass, Backend(params)).vjp(adj_out, adj_x, adj_mass);
      }};
  return kTable;
}

template const MpmFunctions<float>& MpmFunctions<float>::host();
template const MpmFunctions<double>& MpmFunctions<double>::host();

}  // namespace diffmpm
