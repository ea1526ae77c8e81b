// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "diffmpm/surface/scene.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "diffmpm/core/parallel.hpp"
#include "diffmpm/math/eig3.hpp"
#include "diffmpm/math/harmonics.hpp"
#include "diffmpm/math/mat3.hpp"
#include "diffmpm/math/quaternion.hpp"
#include "diffmpm/surface/patch.hpp"

namespace diffmpm::surface {
namespace {

using Vector = Vec3<double>;
using Matrix = Mat3<double>;

constexpr std::int64_t kChunk = 256;
// Length of a column, relative to the first one, below which it has no direction.
constexpr double kNoDirection = 8 * std::numeric_limits<double>::epsilon();

Vector column(const Matrix& a, int k) { return {{a(0, k), a(1, k), a(2, k)}}; }

Vector cross(const Vector& a, const Vector& b) {
  return {{a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]}};
}

// Eigenvalues in descending order, and their eigenvectors as a right-handed frame.
void sorted_eigen(const Matrix& a, Vector& values, Vector axes[3]) {
  Vector unsorted;
  Matrix V;
  symmetric_eigen(a, unsorted, V);
  int order[3] = {0, 1, 2};
  std::ranges::sort(order, [&](int i, int j) { return unsorted[i] > unsorted[j]; });
  for (int k = 0; k < 3; ++k) values[k] = unsorted[order[k]];
  for (int k = 0; k < 2; ++k) axes[k] = column(V, order[k]);
  axes[2] = cross(axes[0], axes[1]);
}

// F = sum of stretch_k u_k v_k^T with right-handed frames u and v, where the smallest stretch counts as positive.
struct Stretches {
  Vector stretch, u[3], v[3];

  explicit Stretches(const Matrix& F) {
    Vector squares;
    sorted_eigen(mul_tn(F, F), squares, v);
    const Vector first = mul(F, v[0]);
    stretch[0] = std::sqrt(dot(first, first));
    u[0] = stretch[0] > 0 ? (1 / stretch[0]) * first : v[0];
    Vector second = mul(F, v[1]);
    second -= dot(u[0], second) * u[0];
    stretch[1] = std::sqrt(dot(second, second));
    if (stretch[1] > kNoDirection * stretch[0])
      u[1] = (1 / stretch[1]) * second;
    else
      tangents(u[0], u[1], u[2]);
    u[2] = cross(u[0], u[1]);
    stretch[2] = std::abs(dot(u[2], mul(F, v[2])));
  }

  Matrix matrix(const Vector& stretches) const {
    Matrix F = Matrix::zero();
    for (int k = 0; k < 3; ++k) F += outer_product(stretches[k] * u[k], v[k]);
    return F;
  }
};

// Functions of one degree l are determined by their values in 2 l + 1 directions.
template <class T>
class Rotation {
 public:
  static const Rotation& get() {
    static const Rotation rotation;
    return rotation;
  }

  // Writes the coefficients, (bands, 3), of the rotated functions: from the values of the old ones at R^T d.
  void apply(const Matrix& R, const T* rest, int bands, T* out) const {
    for (int l = 1, first = 0; first < bands; first += 2 * l + 1, ++l) {
      const int n = 2 * l + 1;
      T values[kMost][3] = {};
      for (int i = 0; i < n; ++i) {
        const Vector before = mul_tn(R, directions_[i]);
        T basis[kMost];
        harmonics_of_degree(l, Vec3<T>{{T(before[0]), T(before[1]), T(before[2])}}, basis);
        for (int k = 0; k < n; ++k)
          for (int c = 0; c < 3; ++c) values[i][c] += basis[k] * rest[3 * (first + k) + c];
      }
      for (int k = 0; k < n; ++k)
        for (int c = 0; c < 3; ++c) {
          T sum(0);
          for (int i = 0; i < n; ++i) sum += inverse_[l][k][i] * values[i][c];
          out[3 * (first + k) + c] = sum;
        }
    }
  }

 private:
  static constexpr int kMost = 7;  // harmonics of degree 3

  Rotation() {
    for (int k = 0; k < kMost; ++k) {  // about evenly spread over a half space
      const double z = 1 - (k + 0.5) / kMost, angle = (k + 0.5) * std::numbers::pi * (3 - std::sqrt(5.0));
      const double r = std::sqrt(1 - z * z);
      directions_[k] = {{r * std::cos(angle), r * std::sin(angle), z}};
    }
    for (int l = 1; l <= 3; ++l) invert(l);
  }

  // Inverse of the matrix of the harmonics of degree l in the directions, by elimination with pivots.
  void invert(int l) {
    const int n = 2 * l + 1;
    double rows[kMost][2 * kMost] = {};
    for (int i = 0; i < n; ++i) {
      harmonics_of_degree(l, directions_[i], rows[i]);
      rows[i][n + i] = 1;
    }
    for (int k = 0; k < n; ++k) {
      int pivot = k;
      for (int i = k + 1; i < n; ++i)
        if (std::abs(rows[i][k]) > std::abs(rows[pivot][k])) pivot = i;
      std::swap(rows[k], rows[pivot]);
      for (int j = 2 * n - 1; j >= k; --j) rows[k][j] /= rows[k][k];
      for (int i = 0; i < n; ++i)
        if (i != k)
          for (int j = 2 * n - 1; j >= k; --j) rows[i][j] -= rows[i][k] * rows[k][j];
    }
    for (int k = 0; k < n; ++k)
      for (int i = 0; i < n; ++i) inverse_[l][k][i] = T(rows[k][n + i]);
  }

  Vector directions_[kMost];
  T inverse_[4][kMost][kMost];
};

Matrix matrix_at(const double* array, std::int64_t i) {
  Matrix a;
  std::copy_n(array + 9 * i, 9, a.m);
  return a;
}

}  // namespace

void limit_stretches(const double* F, std::int64_t count, double limit, double* out) {
  parallel_for(count, kChunk, [&](std::int64_t p) {
    const Stretches stretches(matrix_at(F, p));
    Vector limited = stretches.stretch;
    for (double& value : limited.c) value = std::clamp(value, 1 / limit, limit);
    std::copy_n(stretches.matrix(limited).m, 9, out + 9 * p);
  });
}

void carry_gaussians(const SceneView& scene, const double* F, double thinnest, const SceneArrays& out) {
  const auto& rotation = Rotation<float>::get();
  parallel_for(scene.count, kChunk, [&](std::int64_t g) {
    Matrix mean = Matrix::zero();
    for (int k = 0; k < scene.parents; ++k) {
      const std::int64_t at = g * scene.parents + k;
      mean += scene.weight[at] * matrix_at(F, scene.parent[at]);
    }
    const Stretches stretches(mean);
    const Matrix half = mul(stretches.matrix(stretches.stretch), matrix_at(scene.axes, g));
    Vector squares, axes[3];
    sorted_eigen(mul_nt(half, half), squares, axes);
    const double longest = std::sqrt(std::max(squares[0], 0.0));
    for (int r = 0; r < 3; ++r)
      out.scales[3 * g + r] = static_cast<float>(std::max(std::sqrt(std::max(squares[r], 0.0)), thinnest * longest));
    quaternion(axes[0], axes[1], axes[2], out.quats + 4 * g);
    const std::int64_t row = 3 * scene.bands * g;
    if (scene.bands > 0) rotation.apply(stretches.matrix({{1, 1, 1}}), scene.rest + row, scene.bands, out.rest + row);
  });
}

template <class T>
void rotate_harmonics(const T* rest, std::int64_t count, int bands, const double* R, bool each, T* out) {
  const auto& rotation = Rotation<T>::get();
  parallel_for(count, kChunk, [&](std::int64_t g) {
    rotation.apply(matrix_at(R, each ? g : 0), rest + 3 * bands * g, bands, out + 3 * bands * g);
  });
}

template <class T>
void evaluate_harmonics(const T* coefficients, std::int64_t count, int degree, const T* directions, T* out) {
  const int size = (degree + 1) * (degree + 1);
  parallel_for(count, kChunk, [&](std::int64_t g) {
    T basis[kMostHarmonics];
    harmonics(degree, Vec3<T>{{directions[3 * g], directions[3 * g + 1], directions[3 * g + 2]}}, basis);
    T sum[3] = {};
    for (int k = 0; k < size; ++k)
      for (int c = 0; c < 3; ++c) sum[c] += basis[k] * coefficients[3 * (size * g + k) + c];
    std::copy_n(sum, 3, out + 3 * g);
  });
}

template void rotate_harmonics<float>(const float*, std::int64_t, int, const double*, bool, float*);
template void rotate_harmonics<double>(const double*, std::int64_t, int, const double*, bool, double*);
template void evaluate_harmonics<float>(const float*, std::int64_t, int, const float*, float*);
template void evaluate_harmonics<double>(const double*, std::int64_t, int, const double*, double*);

}  // namespace diffmpm::surface
