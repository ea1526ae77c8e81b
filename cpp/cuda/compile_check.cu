// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Compiles, as device code, the functions of the headers that no kernel of this folder calls: geometry and the binding of a
// surface run on the CPU, but their formulas must stay usable in kernels. All other headers are compiled by the kernels.
#include "diffmpm/core/random.hpp"
#include "diffmpm/geometry/solid_angle.hpp"
#include "diffmpm/surface/kernel.hpp"
#include "diffmpm/surface/metric.hpp"
#include "diffmpm/surface/patch.hpp"

namespace {

using namespace diffmpm;

// Each kernel reads its arguments from memory and writes its results back, so that nothing is optimised away.
__global__ void check_geometry(double* memory) {
  random_in_ball(1, threadIdx.x, 0, memory);
  const auto* p = reinterpret_cast<const geometry::Point*>(memory);
  auto& m = *reinterpret_cast<geometry::Moments*>(memory + 20);
  geometry::add_triangle(m, p[0], p[1], p[2]);
  m.radius += geometry::solid_angle(p[3], p[0], p[1], p[2]) + geometry::far_solid_angle(m, p[3]);
}

template <class T>
__global__ void check_binding(T* out) {
  using namespace surface;
  const Mat3<T> F = *reinterpret_cast<const Mat3<T>*>(out);
  const Vec3<T> n = *reinterpret_cast<const Vec3<T>*>(out + 9);
  const Mat3<T> A = mul(inverse(F), mul(limit_stretch(F, n, out[0]), F));
  out[1] = contract(surface_metric(F, n), mul(A, flattened(rest_normal(F, n), out[0])));
  out[2] = density_kernel(out[0]) + density_kernel_slope(out[0]) + fill_depth(out[0]);
  out[3] = fill_of_asymmetry(out[0]) + disc_density(out[0]) + patch_area(out[0]);
  Patch<T> patch;
  Vec3<T> a, b;
  tangents(n, a, b);
  patch.add(a[0], b[0], out[0], out[1]);
  patch.solve(out + 4);
  out[10] = blur_shift(out[0], out[4]);
}

}  // namespace

// Never called; keeps the instantiations.
void diffmpm_cuda_compile_check(void* memory) {
  check_geometry<<<1, 1>>>(static_cast<double*>(memory));
  check_binding<<<1, 1>>>(static_cast<float*>(memory));
  check_binding<<<1, 1>>>(static_cast<double*>(memory));
}
