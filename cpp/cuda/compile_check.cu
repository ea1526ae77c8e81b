// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
// Instantiates every per-particle and per-node function of the headers as device code, for float and double. It is
// only compiled. A header function that a thread on a device may call gets its line here.
#include "diffmpm/core/random.hpp"
#include "diffmpm/core/terms.hpp"
#include "diffmpm/geometry/body.hpp"
#include "diffmpm/geometry/solid_angle.hpp"
#include "diffmpm/losses/filters.hpp"
#include "diffmpm/losses/grid_mass.hpp"
#include "diffmpm/losses/image_passes.hpp"
#include "diffmpm/losses/image_terms.hpp"
#include "diffmpm/math/eig3.hpp"
#include "diffmpm/math/functions.hpp"
#include "diffmpm/math/mat3.hpp"
#include "diffmpm/math/polar3.hpp"
#include "diffmpm/math/scalar.hpp"
#include "diffmpm/mpm/blocks.hpp"
#include "diffmpm/mpm/bspline.hpp"
#include "diffmpm/mpm/constants.hpp"
#include "diffmpm/mpm/g2p.hpp"
#include "diffmpm/mpm/grid_update.hpp"
#include "diffmpm/mpm/material/list.hpp"
#include "diffmpm/mpm/p2g.hpp"
#include "diffmpm/mpm/params.hpp"
#include "diffmpm/optimize/adam.hpp"
#include "diffmpm/render/camera.hpp"
#include "diffmpm/render/composite.hpp"
#include "diffmpm/render/project.hpp"
#include "diffmpm/render/splat.hpp"
#include "diffmpm/render/tile.hpp"
#include "diffmpm/surface/evaluate.hpp"
#include "diffmpm/surface/interpolate.hpp"
#include "diffmpm/surface/kernel.hpp"
#include "diffmpm/surface/metric.hpp"
#include "diffmpm/surface/patch.hpp"

namespace {

using namespace diffmpm;

// Reads its arguments from memory and writes what it computes back, so that nothing is optimised away.
template <class V>
__device__ V& slot(void* memory, int n) {
  return static_cast<V*>(memory)[n];
}

__global__ void check_random(double* out) {
  out[threadIdx.x] = random_uniform(out[0] > 0, threadIdx.x, 1);
  random_in_ball(1, threadIdx.x, 0, out + 3 * threadIdx.x);
}

template <class T>
__global__ void check_math(void* memory) {
  const Mat3<T> F = slot<Mat3<T>>(memory, 0), adj_R = slot<Mat3<T>>(memory, 1);
  Mat3<T>& adj_F = slot<Mat3<T>>(memory, 2);
  T min_gap = T(1);
  const Mat3<T> R = polar_rotation(F);
  polar_rotation_vjp(F, R, adj_R, adj_F, min_gap);
  const Vec3<T> a = mul(F, Vec3<T>{{T(1), min_gap, T(0)}}), b = mul_tn(F, a);
  adj_F += inverse_vjp(inverse(F), R);
  adj_F.m[0] += dot(a, b) + cube_root(determinant(F)) + vsqrt(contract(F, R));
}

template <class T, class MaterialModel>
__global__ void check_material(void* memory) {
  const Mat3<T> F = slot<Mat3<T>>(memory, 0), adj_tau = slot<Mat3<T>>(memory, 1);
  Mat3<T>& out = slot<Mat3<T>>(memory, 2);
  Mat3<T> saved, adj_F = Mat3<T>::zero();
  const T lam = F.m[0], mu = F.m[1];
  T adj_lam = T(0), adj_mu = T(0), min_gap = T(1);
  out += MaterialModel::stress(F, lam, mu, saved);
  MaterialModel::stress_vjp(F, lam, mu, saved, adj_tau, adj_F, adj_lam, adj_mu, min_gap);
  out += adj_F;
  out.m[0] += adj_lam + adj_mu + min_gap;
}

template <class T, Basis B>
__global__ void check_bspline(T* memory, Index nodes) {
  T base, e, w[BSpline<B>::kNodes], dw[BSpline<B>::kNodes];
  locate<B>(memory[0], base, e);
  BSpline<B>::weights(e, w, dw);
  for (int a = 0; a < BSpline<B>::kNodes; ++a)
    memory[a] += base + w[a] * dw[a] + typename BSpline<B>::template NodeWeight<T>(a)(e);
  if (!inside_axis<B>(memory[0], nodes)) memory[1] = T(0);
}

template <class T, bool kRestState>
__global__ void check_p2g(StepConstants<T> c, void* memory) {
  const Particle<T> p = slot<Particle<T>>(memory, 0);
  StressSaved<T> saved;
  Momentum<T>& out = slot<Momentum<T>>(memory, 100);
  out = particle_momentum<kRestState>(c, p, saved);
  T min_gap = T(1);
  check_momentum(p, out, out.b[1]);
  particle_momentum_vjp<kRestState>(c, p, saved, out, slot<ParticleAdjoint<T>>(memory, 200), min_gap);
  out.b[0] += min_gap;
}

template <class T>
__global__ void check_grid_update(StepConstants<T> c, void* memory) {
  const Index node[3] = {Index(threadIdx.x), Index(threadIdx.y), Index(threadIdx.z)};
  Vec3<T>& q = slot<Vec3<T>>(memory, 0);
  const Vec3<T> v = grid_update(c, node, slot<T>(memory, 100), q);
  T adj_m;
  Vec3<T> adj_q;
  double adj_g[3] = {0, 0, 0};
  grid_update_vjp(c, node, slot<T>(memory, 100), q, v, adj_m, adj_q, adj_g);
  q += adj_q;
  q[0] += adj_m + T(adj_g[0] + adj_g[1] + adj_g[2]);
}

template <class T>
__global__ void check_g2p(StepConstants<T> c, void* memory) {
  const Mat3<T> F = slot<Mat3<T>>(memory, 0), F_control = slot<Mat3<T>>(memory, 1);
  const Mat3<T> E = step_gradient(c, damp(c, slot<Mat3<T>>(memory, 2)));
  slot<Mat3<T>>(memory, 9) = carry_motion_vjp(E, F, carry_motion(E, F), slot<Mat3<T>>(memory, 10));
  slot<Vec3<T>>(memory, 11) = add_offsets_vjp(slot<Vec3<T>>(memory, 11), E, slot<Vec3<T>>(memory, 12));
  const Mat3<T> out = update_deformation(c, E, F, F_control);
  update_deformation_vjp(c, E, F, F_control, out, slot<Mat3<T>>(memory, 3), slot<Mat3<T>>(memory, 4),
                         slot<Mat3<T>>(memory, 5));
  const Vec3<T> v = slot<Vec3<T>>(memory, 30);
  Advanced<T>& to = slot<Advanced<T>>(memory, 4);
  to = advance(c, v, F, v, F, F_control);
  slot<AdvanceAdjoint<T>>(memory, 8) = advance_vjp(c, F, F_control, v, E, to);
  check_advanced(to, T(0), slot<T>(memory, 400));
}

template <class T, Basis B>
__global__ void check_blocks(StepConstants<T> c, void* memory) {
  const Index block[3] = {Index(threadIdx.x), Index(threadIdx.y), Index(threadIdx.z)};
  Vec3<T>&x = slot<Vec3<T>>(memory, 0), &base = slot<Vec3<T>>(memory, 1), at, e;
  Mat3<T>& M = slot<Mat3<T>>(memory, 1);
  for (int r = 0; r < 3; ++r) locate_in_tile<B>(grid_coordinate(c, x[r], r), block[r], at[r], e[r]);
  check_position<B>(c, block, x, x[0], x[1]);
  affine_at_center(c, e, at, M, base, slot<Mat3<T>>(memory, 2));
  M = moments_at_particle(c, e, base, M);
}

__global__ void check_solid_angle(void* memory) {
  const geometry::Point* p = static_cast<const geometry::Point*>(memory);
  geometry::Moments& m = slot<geometry::Moments>(memory, 10);
  geometry::add_triangle(m, p[0], p[1], p[2]);
  m.radius += geometry::solid_angle(p[3], p[0], p[1], p[2]) + geometry::far_solid_angle(m, p[3]);
}

template <class T>
__global__ void check_body(T* memory) {
  geometry::Range range = geometry::DeterminantTerm<T>{memory}(0);
  range += geometry::DeterminantTerm<T>{memory}(1);
  const geometry::DistanceTerm<T> distance{memory, memory + 30};
  const geometry::SquareTerm<T> square{memory};
  memory[60] += T(range.low + range.high + distance(threadIdx.x) + square(threadIdx.x));
  geometry::MultiplyItem<T>{2, memory, memory + 30, memory}(threadIdx.x);
}

template <class T>
__global__ void check_optimize(T* memory) {
  Largest largest = LargestTerm<T>{memory}(0);
  largest += LargestTerm<T>{memory}(1);
  memory[0] += T(largest.value + optimize::ScaledSquareTerm<T>{memory, T(2)}(1) + NotFiniteTerm<T>{memory}(2));
  optimize::DescendItem<T>{2, memory[0], memory, memory + 8, memory + 16}(threadIdx.x);
  optimize::AdamItem<T> adam{};
  adam.gradient = memory, adam.mean = adam.square = adam.direction = memory + 24, adam.largest = memory[9];
  adam(threadIdx.x);
}

template <class T>
__global__ void check_losses(T* memory) {
  T adj_log, adj_squared;
  const T m = memory[0], target = memory[1], m_ref = memory[2];
  memory[3] += LogMassNode::value(m, target, m_ref, adj_log) + SquaredMassNode::value(m, target, m_ref, adj_squared);
  memory[4] += adj_log + adj_squared + weighted_mass_node<LogMassNode>(m, target, m_ref, m_ref, memory[5]);
}

template <class T>
__global__ void check_filters(BlurWeights weights, Pooling pooling, T* memory) {
  blur_pixels<1>(weights, 3, 9, 1, memory + 10, memory + 20);
  memory[0] += pooled(pooling, memory, 1, 2) + pooled_vjp(pooling, memory, 3, 4);
}

template <class T>
__global__ void check_project(const double* pose, void* memory) {
  const Camera<T> camera = make_camera<T>(pose, pose + 16, 640, 480);
  const T* in = static_cast<const T*>(memory);
  const Vec3<T> mean = slot<Vec3<T>>(memory, 10);
  const Mat3<T> cov = quat_scale_covariance(in, in + 4);
  Projection<T>& out = slot<Projection<T>>(memory, 20);
  out = project(camera, mean, cov);
  Mat3<T>&adj_cov = slot<Mat3<T>>(memory, 10), &adj_R = slot<Mat3<T>>(memory, 11);
  project_vjp(camera, mean, cov, slot<Projection<T>>(memory, 21), slot<Vec3<T>>(memory, 40), adj_cov, adj_R,
              slot<Vec3<T>>(memory, 41));
  T adj_quat[4] = {}, adj_scale[3] = {}, adj_unit[4] = {};
  quat_scale_covariance_vjp(in, in + 4, adj_cov, adj_quat, adj_scale);
  quat_rotation_vjp(in, quat_rotation(in), adj_unit);
  out.depth += adj_quat[0] + adj_scale[0] + adj_unit[0];
}

template <class T>
__global__ void check_splat(RasterInput<T> in, RasterGradients<T> out, T* sums, void* memory) {
  const Camera<double>& camera = slot<Camera<double>>(memory, 0);
  Splat<T>& splat = slot<Splat<T>>(memory, 10);
  int& hits = slot<int>(memory, 1000);
  if (project_splat(in, 0, camera, threadIdx.x, splat) != SplatStatus::outside) return;
  visit_tiles(in, ellipse_of(splat), splat.x, splat.y, [&](std::uint32_t, unsigned) { ++hits; });
  splat_vjp(in, 0, camera, threadIdx.x,
            SplatSums<T>{sums, static_cast<std::uint32_t>(hits), kMoments + in.channels + 1}, out, true,
            slot<Mat3<double>>(memory, 10), slot<Vec3<double>>(memory, 40));
}

template <class T>
__global__ void check_composite(T* memory) {
  const Whitening<T> w = whitening(memory, memory[3]);
  T u, v, weight, adj_opacity = T(0);
  const T alpha = splat_alpha(splat_exponent(w, memory[4], memory[5], memory[6], u, v));
  PixelState<T>& pixel = slot<PixelState<T>>(memory, 10);
  memory[7] += composite(alpha, memory[8], pixel);
  PixelAdjoint<T>& adj = slot<PixelAdjoint<T>>(memory, 20);
  memory[8] += splat_alpha_vjp(alpha, composite_vjp(alpha, memory[9], adj, weight)) + weight;
  splat_exponent_vjp(w, memory[4], slot<SplatMoments<T>>(memory, 10), memory + 100, memory + 102, adj_opacity);
  const Ellipse<T> e = splat_ellipse(w, memory[4]);
  if (ellipse_interval(e, memory[0], memory[1], memory[2], memory[3])) memory[4] += adj_opacity;
}

template <class T>
__global__ void check_eigen(void* memory) {
  Mat3<T>& out = slot<Mat3<T>>(memory, 1);
  Vec3<T> values;
  Mat3<T> V = slot<Mat3<T>>(memory, 0);
  cofactor_vjp(V, slot<Mat3<T>>(memory, 2), out);
  symmetric_eigen(slot<Mat3<T>>(memory, 0), values, V);
  out += values[0] * V;
}

template <class T>
__global__ void check_surface_binding(void* memory) {
  const Mat3<T> F = slot<Mat3<T>>(memory, 0);
  const Vec3<T> n = slot<Vec3<T>>(memory, 10);
  T* out = &slot<T>(memory, 200);
  const Vec3<T> rest = surface::rest_normal(F, n);
  const Mat3<T> A = mul(inverse(F), mul(surface::limit_stretch(F, n, out[0]), F));
  out[1] += contract(surface::surface_metric(F, n), mul(A, surface::flattened(rest, out[0])));
  out[2] += surface::density_kernel(out[0]) + surface::density_kernel_slope(out[0]) + surface::fill_depth(out[0]);
  out[3] += surface::fill_of_asymmetry(out[0]) + surface::disc_density(out[0]) + surface::patch_area(out[0]);
  surface::Patch<T> patch;
  Vec3<T> a, b;
  surface::tangents(n, a, b);
  patch.add(a[0], b[0], out[0], out[1]);
  patch.solve(out + 4);
  out[3] += surface::blur_shift(out[0], out[4]);
}

// evaluate_sample_vjp calls interpolate_vjp, and that sample_weights_vjp, weight_kernel_vjp, carry_normal_vjp and
// carry_covariance_vjp.
template <class T>
__global__ void check_surface_sample(surface::BindingView<T> b, T* memory) {
  using namespace surface;
  auto* slots = reinterpret_cast<ParentAdjoint<T>*>(memory);
  evaluate_sample(b, memory, memory, T(1), {memory, memory, memory, memory}, threadIdx.x);
  memory[0] += evaluate_sample_vjp<T>(b, memory, memory, T(1), {memory, memory, memory, memory}, threadIdx.x, slots);
  sum_children<1>(b, threadIdx.x, 5, slots, memory, memory);
}

template <class T>
void instantiate(const StepConstants<T>& c, void* memory) {
  check_math<T><<<1, 1>>>(memory);
  check_material<T, FixedCorotated><<<1, 1>>>(memory);
  check_material<T, NeoHookean><<<1, 1>>>(memory);
  check_bspline<T, Basis::quadratic><<<1, 1>>>(static_cast<T*>(memory), 8);
  check_bspline<T, Basis::cubic><<<1, 1>>>(static_cast<T*>(memory), 8);
  check_p2g<T, false><<<1, 1>>>(c, memory);
  check_p2g<T, true><<<1, 1>>>(c, memory);
  check_grid_update<T><<<1, 1>>>(c, memory);
  check_g2p<T><<<1, 1>>>(c, memory);
  check_blocks<T, Basis::quadratic><<<1, 1>>>(c, memory);
  check_blocks<T, Basis::cubic><<<1, 1>>>(c, memory);
  check_body<T><<<1, 1>>>(static_cast<T*>(memory));
  check_losses<T><<<1, 1>>>(static_cast<T*>(memory));
  check_optimize<T><<<1, 1>>>(static_cast<T*>(memory));
  check_filters<T><<<1, 1>>>(blur_weights(1.0), {}, static_cast<T*>(memory));
  check_project<T><<<1, 1>>>(static_cast<const double*>(memory), memory);
  check_splat<T><<<1, 1>>>({}, {}, static_cast<T*>(memory), memory);
  check_composite<T><<<1, 1>>>(static_cast<T*>(memory));
  check_eigen<T><<<1, 1>>>(memory);
  check_surface_binding<T><<<1, 1>>>(memory);
  check_surface_sample<T><<<1, 1>>>({}, static_cast<T*>(memory));
}

}  // namespace

// Never called; keeps the instantiations.
void diffmpm_cuda_compile_check(const MpmParams& params, void* memory) {
  check_random<<<1, 1>>>(static_cast<double*>(memory));
  check_solid_angle<<<1, 1>>>(memory);
  instantiate(step_constants<float>(params), memory);
  instantiate(step_constants<double>(params), memory);
}
