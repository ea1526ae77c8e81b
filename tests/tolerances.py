# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Tolerances by dtype, each with its reason. Relative errors of vectors are |a - b| / |b| in L2."""

from __future__ import annotations

import numpy as np

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
EPS = {F32: float(np.finfo(np.float32).eps), F64: float(np.finfo(np.float64).eps)}

# The stored reference results. The mirror reproduces them to 2e-13.
ORACLE = {F32: 1e-3, F64: 1e-8}
MIRROR_ORACLE = 1e-10

# Core against autograd of the mirror, values and gradients: two float64 programs that differ only in the order of sums.
MIRROR = 1e-9

# <J u, w> (complex step through the mirror: no truncation, no cancellation) against <u, J^T w>.
DOT_PRODUCT = 1e-10

# Five-point central differences in float64, relative to the expected size along a random direction. With a step of
# 1e-5 of the input's scale, truncation is below 1e-15 and rounding about 1e-16 |L| / 1e-5 = 1e-11 |L|.
CENTRAL_DIFFERENCE = 1e-6
CENTRAL_DIFFERENCE_STEP = 1e-5

# A CUDA device against the CPU, values and gradients, from the same inputs.
PARITY = {F32: 1e-4, F64: 1e-10}

# float32 against float64 from the same (float32) inputs, values and gradients.
SINGLE_PRECISION = 1e-3


def conserved(dtype: np.dtype | type, count: int, steps: int) -> float:
    """Return the tolerance of a conserved sum, relative to the sum of magnitudes.

    Each particle rounds about 10 times per step in 64 nodes. The errors are independent, and 50 eps per step covers the
    worst particle; `count` accounts for the summation in the test.
    """
    return EPS[np.dtype(dtype)] * (50.0 * steps + 0.01 * count)


def steps_of_rounding(dtype: np.dtype | type, steps: int, scale: float = 1.0) -> float:
    """Return the absolute rounding error at magnitude `scale`: 50 eps per step, for sums of 64 products."""
    return 50.0 * EPS[np.dtype(dtype)] * steps * scale


# The stored image of Gaussians, absolute, and its gradients, relative. Measured 2e-7 and 4e-7 in float32 (depth, of
# size 4: 7e-7), 3e-15 and 2e-15 in float64.
RASTER_IMAGE = {F32: 1e-6, F64: 1e-12}
RASTER_ORACLE = {F32: 1e-5, F64: 1e-9}

# The rasteriser against autograd of its mirror in float64, which uses a different order of operations and inverts
# matrices: measured 2e-13, times 50.
RASTER_MIRROR = 1e-11

# Gradients in float32 against float64: 1 - alpha has an error of 6e-8 and is a divisor, at worst 0.001. Measured 7e-6
# with opacities near that clamp, times 4; elsewhere 4e-7. No pixel of the scenes is near a threshold (1/255, 1e-4).
RASTER_SINGLE_PRECISION = 3e-5
