// SPDX-FileCopyrightText: 2026 The DiffMPM authors
// SPDX-License-Identifier: MIT
#include "../core/isa.hpp"
#include "kernels.hpp"

namespace diffmpm {

extern const RenderKernels<float> render_float_base;
extern const RenderKernels<double> render_double_base;
#if defined(DIFFMPM_HAVE_AVX2)
extern const RenderKernels<float> render_float_avx2;
extern const RenderKernels<double> render_double_avx2;
#endif
#if defined(DIFFMPM_HAVE_AVX512)
extern const RenderKernels<float> render_float_avx512;
extern const RenderKernels<double> render_double_avx512;
#endif

template <>
const RenderKernels<float>& render_kernels<float>() {
  switch (isa_level()) {
#if defined(DIFFMPM_HAVE_AVX512)
    case IsaLevel::avx512: return render_float_avx512;
#endif
#if defined(DIFFMPM_HAVE_AVX2)
    case IsaLevel::avx2: return render_float_avx2;
#endif
    default: return render_float_base;
  }
}

template <>
const RenderKernels<double>& render_kernels<double>() {
  switch (isa_level()) {
#if defined(DIFFMPM_HAVE_AVX512)
    case IsaLevel::avx512: return render_double_avx512;
#endif
#if defined(DIFFMPM_HAVE_AVX2)
    case IsaLevel::avx2: return render_double_avx2;
#endif
    default: return render_double_base;
  }
}

}  // namespace diffmpm
