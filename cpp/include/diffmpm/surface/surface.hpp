// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "diffmpm/core/context.hpp"
#include "diffmpm/core/memory.hpp"
#include "diffmpm/surface/params.hpp"

// Drivers of the surface. Binding makes all discrete choices (outer particles, positions of samples, parents), in double precision
// and without gradient. Evaluation is smooth and has an exact adjoint.

namespace diffmpm::surface {

struct Body {
  const double* x = nullptr;  // positions [m] (count, 3), finite
  const double* F = nullptr;  // deformation gradients (count, 3, 3), finite
  std::int64_t count = 0;     // >= 1
};

// Samples of an earlier binding, evaluated for the current body.
struct Carried {
  const double* means = nullptr;  // [m] (samples, 3)
};

// Rest state of M samples with K parents each.
struct Binding {
  std::int64_t samples = 0;
  int parents = 0;
  double spacing = 0;                // spacing of the particles [m]
  std::vector<std::int32_t> parent;  // (M, K), nearest first
  std::vector<double> offset;        // rest offsets [m] (M, K, 3)
  std::vector<double> support;       // radius of the weight kernel [m] (M,)
  std::vector<double> axes;          // (M, 3, 3) [m]
  std::vector<double> normal;        // rest normals (M, 3)
  std::vector<std::uint8_t> kept;    // (M,) 1: the sample is carried over
  std::vector<std::uint8_t> outer;   // (N,) 1: the particle is in the outer layer
};

// Binds `samples` samples to a body. With `carried` (as many means), samples that still lie on the surface and are not crowded are
// carried over; the others are resampled where the surface is sparsely covered.
// Throws std::invalid_argument if the particles have no spacing or no surface.
Binding bind(const Body& body, std::int64_t samples, std::uint64_t seed, const SurfaceParams& params,
             const Carried* carried = nullptr);

// flags[count] = 1 for particles in the outer layer.
void outer_particles(const Body& body, const SurfaceParams& params, std::uint8_t* flags);

// Arrays of a binding in the precision of the evaluation.
template <class T>
struct BindingView {
  std::int64_t samples = 0, particles = 0;
  int parents = 0;
  const std::int32_t* parent = nullptr;
  const T* offset = nullptr;
  const T* support = nullptr;
  const T* axes = nullptr;
  const T* normal = nullptr;
  const std::int32_t* child_start = nullptr;  // (N + 1,) first child of each particle; null: found by each adjoint
  const std::int32_t* child = nullptr;        // (M K,) slots g K + k of `parent`, sorted by particle, in order
};

// Checked copy of the parents (samples, parents), which other threads cannot modify after the check. Throws std::invalid_argument for
// an index outside of [0, particles), or for too many parents per sample.
Buffer<std::int32_t> checked_parents(std::int64_t samples, int parents, std::int64_t particles,
                                     const std::int32_t* parent);

template <class T>
struct GaussianArrays {
  T* means = nullptr;    // [m] (M, 3)
  T* covars = nullptr;   // [m^2] (M, 3, 3)
  T* normals = nullptr;  // (M, 3)
  T* weights = nullptr;  // (M, K)
};

template <class T>
struct SurfaceFunctions {
  // Finds the children of the particles, the inverse of `parent` (slots,), into start (particles + 1,) and child (slots,). A
  // binding that has them does not find them again in each adjoint.
  void (*find_children)(const Context&, std::int64_t particles, std::int64_t slots, const std::int32_t* parent,
                        std::int32_t* start, std::int32_t* child);
  // Writes all arrays of `out`. On the host this and its adjoint check the parents.
  void (*evaluate)(const Context&, const BindingView<T>& binding, const T* x, const T* F, T sigma0,
                   const GaussianArrays<T>& out);
  // Writes adj_x (N, 3), adj_F (N, 3, 3) and, unless null, the adjoint of sigma0 (one value). Missing cotangents are null.
  void (*evaluate_vjp)(const Context&, const BindingView<T>& binding, const T* x, const T* F, T sigma0,
                       const GaussianArrays<const T>& adj, T* adj_x, T* adj_F, double* adj_sigma0);

  static const SurfaceFunctions& host();
  static const SurfaceFunctions& cuda();
};

}  // namespace diffmpm::surface
