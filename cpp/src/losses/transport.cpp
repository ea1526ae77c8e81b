// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/losses/transport.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../core/isa.hpp"
#include "diffmpm/core/host_queue.hpp"
#include "softmin_kernel.hpp"
#include "transport_host.hpp"

namespace diffmpm {
namespace {

// Nodes around those with mass that have potentials: those that a body reaches during a window.
constexpr std::int64_t kMargin = 2;

struct HostPasses : HostQueue {
  using HostQueue::HostQueue;
  template <class T>
  void log_sums(std::int64_t length, std::int64_t lines, const T* h, double slope, T* out) {
    const auto& kernels = isa_table<SoftminKernels<T>>();
    std::vector<T> costs(static_cast<std::size_t>(2 * length - 1));
    for (std::int64_t d = 1 - length; d < length; ++d) costs[d + length - 1] = static_cast<T>(slope * d * d);
    const T* cost = costs.data() + length - 1;
    parallel_for_with((lines + kernels.lines - 1) / kernels.lines, 4, thread_count(),
                      [&] { return Buffer<T>(static_cast<std::size_t>(length * kernels.lines)); },
                      [&](Buffer<T>& scratch, std::int64_t block) {
                        const std::int64_t first = block * kernels.lines;
                        kernels.log_sums(static_cast<int>(length), first, lines, h, cost, scratch.data(),
                                         out + first * length);
                      });
  }
};

// The part of the grid around the nodes with mass. Work grows with the fourth power of its size.
struct Box {
  std::int64_t low[3], dims[3], whole[3];

  template <class T>
  Box(const std::int64_t (&grid)[3], std::initializer_list<const T*> masses) {
    for (int a = 0; a < 3; ++a) whole[a] = grid[a], low[a] = grid[a], dims[a] = 0;
    std::int64_t last[3] = {-1, -1, -1};
    for (const T* m : masses)
      for (std::int64_t i = 0, n = 0; i < grid[0]; ++i)
        for (std::int64_t j = 0; j < grid[1]; ++j)
          for (std::int64_t k = 0; k < grid[2]; ++k, ++n) {
            if (!(m[n] > T(0))) continue;
            const std::int64_t at[3] = {i, j, k};
            for (int a = 0; a < 3; ++a) low[a] = std::min(low[a], at[a]), last[a] = std::max(last[a], at[a]);
          }
    for (int a = 0; a < 3; ++a) {
      low[a] = std::max<std::int64_t>(0, low[a] - kMargin);
      dims[a] = std::min(whole[a] - 1, last[a] + kMargin) - low[a] + 1;
    }
  }
  std::int64_t count() const { return dims[0] * dims[1] * dims[2]; }

  template <class T>
  Buffer<T> cut(const T* from) const {
    Buffer<T> out(static_cast<std::size_t>(count()));
    for_rows([&](std::int64_t row, std::int64_t at) { std::copy_n(from + at, dims[2], out.data() + row * dims[2]); });
    return out;
  }
  // The nodes of the box.
  template <class T>
  void paste(const Buffer<T>& values, T* to) const {
    for_rows([&](std::int64_t row, std::int64_t at) { std::copy_n(values.data() + row * dims[2], dims[2], to + at); });
  }
  // All nodes, with the value of the nearest node of the box.
  template <class T>
  void extend(const Buffer<T>& values, T* to) const {
    const auto inside = [&](std::int64_t n, int a) { return std::clamp<std::int64_t>(n - low[a], 0, dims[a] - 1); };
    parallel_for(whole[0], 1, [&](std::int64_t i) {
      for (std::int64_t j = 0; j < whole[1]; ++j) {
        const T* row = values.data() + (inside(i, 0) * dims[1] + inside(j, 1)) * dims[2];
        T* out = to + (i * whole[1] + j) * whole[2];
        for (std::int64_t k = 0; k < whole[2]; ++k) out[k] = row[inside(k, 2)];
      }
    });
  }

 private:
  template <class Row>
  void for_rows(const Row& row) const {
    for (std::int64_t i = 0; i < dims[0]; ++i)
      for (std::int64_t j = 0; j < dims[1]; ++j)
        row(i * dims[1] + j, ((low[0] + i) * whole[1] + low[1] + j) * whole[2] + low[2]);
  }
};

TransportOptions within(const TransportOptions& options, const Box& box) {
  TransportOptions out = options;
  std::copy_n(box.dims, 3, out.dims);
  return out;
}

}  // namespace

template <class T>
void transport_loss(const Context& context, const TransportOptions& options, const T* m, const T* target, T* dual,
                    T* adj_m, double* value) {
  const Box box(options.dims, {m, target ? target : m});
  const Buffer<T> in = box.cut(m), goal = target ? box.cut(target) : Buffer<T>(), potential = box.cut(dual),
                  adj = box.cut(m);
  HostPasses passes(context);
  Transport<T, HostPasses>(passes, within(options, box))
      .evaluate(in.data(), goal.data(), potential.data(), adj.data(), value);
  box.extend(potential, dual);
  std::fill_n(adj_m, options.dims[0] * options.dims[1] * options.dims[2], T(0));
  box.paste(adj, adj_m);
}

template void transport_loss(const Context&, const TransportOptions&, const float*, const float*, float*, float*,
                             double*);
template void transport_loss(const Context&, const TransportOptions&, const double*, const double*, double*, double*,
                             double*);

}  // namespace diffmpm
