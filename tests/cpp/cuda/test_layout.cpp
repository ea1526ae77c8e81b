// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "layout.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <vector>

#include "cuda/emulation.hpp"
#include "mpm/layout.cuh"
#include "mpm/scene.hpp"

using namespace diffmpm;
using namespace diffmpm::testing;

namespace {

std::vector<Index> flat(const ParticleBlock* blocks, std::size_t count) {
  std::vector<Index> out;
  for (std::size_t n = 0; n < count; ++n) {
    const ParticleBlock& b = blocks[n];
    out.insert(out.end(), {b.first_group, b.group_count, b.particle_count, b.coord[0], b.coord[1], b.coord[2]});
  }
  return out;
}

std::vector<Index> flat(const GridBlock* blocks, std::size_t count) {
  std::vector<Index> out;
  for (std::size_t n = 0; n < count; ++n) out.insert(out.end(), blocks[n].coord, blocks[n].coord + 3);
  return out;
}

std::vector<Index> flat(const Buffer<Index>& values) { return {values.data(), values.data() + values.size()}; }

std::vector<Index> flat(const std::vector<std::array<Index, kDirections>>& rows) {
  std::vector<Index> out;
  for (const auto& row : rows) out.insert(out.end(), row.begin(), row.end());
  return out;
}

template <class T>
void compare(const MpmParams& params, const std::vector<T>& x) {
  const auto count = static_cast<std::int64_t>(x.size() / 3);
  EmulatedQueue queue;
  const Layout expected = make_layout(params, x.data(), count);
  const cuda::DeviceLayout layout = cuda::make_device_layout(queue, params, x.data(), count);
  CHECK(layout.group_count() == expected.group_count());
  CHECK(flat(layout.ids) == expected.ids);
  CHECK(flat(layout.blocks.data(), layout.blocks.size()) == flat(expected.blocks.data(), expected.blocks.size()));
  CHECK(flat(layout.grid.data(), layout.grid.size()) == flat(expected.grid.data(), expected.grid.size()));
  CHECK(flat(layout.neighbors) == flat(expected.neighbors));
  CHECK(flat(layout.sources) == flat(expected.sources));
}

}  // namespace

TEST_CASE_TEMPLATE("the ordering of particles matches the CPU", T, float, double) {
  for (const Basis basis : {Basis::quadratic, Basis::cubic})
    for (const std::int64_t count : {1, 17, 500, 3000}) compare(scene_params(basis), Scene<T>(count).x);
}

TEST_CASE("the ordering matches the CPU at the grid boundary and for separate bodies") {
  MpmParams params = scene_params(Basis::quadratic);
  params.dims[0] = 40, params.dims[1] = 9, params.dims[2] = 21;
  std::vector<double> x;
  for (const double u : {0.0, 0.1, 0.9, 1.0})
    for (int r = 0; r < 3; ++r) {
      const double low = 0.5 * params.dx, high = (params.dims[r] - 1.5) * params.dx * (1 - 1e-12);
      x.push_back(low + u * (high - low));
    }
  compare(params, x);
}
