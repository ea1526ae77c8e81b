# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Real spherical harmonics in the order and with the signs of 3D Gaussian splatting."""

from __future__ import annotations

import numpy as np

from .. import _core
from .._arrays import Array

DEGREES = (0, 1, 2, 3)
"""Degrees that files hold."""
SH_DC = 0.28209479177387814
"""Value of the harmonic of degree 0, 1 / (2 sqrt(pi)): colour = 1/2 + SH_DC * coefficient."""


def evaluate(coefficients: Array, directions: Array) -> Array:
    """Return the colours 1/2 + sum c Y of Gaussians seen along directions, not clipped.

    Args:
        coefficients: Coefficients of degrees 0 to d, shape (M, (d + 1)^2, 3), float32 or float64.
        directions: Unit vectors from the camera to each Gaussian, shape (M, 3), same dtype.

    Returns:
        Colours, shape (M, 3).
    """
    sums = _core.evaluate_harmonics(np.ascontiguousarray(coefficients), np.ascontiguousarray(directions))
    return np.asarray(sums + sums.dtype.type(0.5))


def rotated(rest: Array, rotations: Array) -> Array:
    """Rotate functions on the sphere: the new f(d) is the old f(R^T d).

    Args:
        rest: Coefficients of degrees 1 to d, shape (M, (d + 1)^2 - 1, 3), float32 or float64.
        rotations: Rotation matrices R, shape (3, 3) or (M, 3, 3).

    Returns:
        Coefficients of the rotated functions, shape and dtype of `rest`.
    """
    turns = np.ascontiguousarray(rotations, np.float64).reshape(-1, 3, 3)
    turned: Array = _core.rotate_harmonics(np.ascontiguousarray(rest), turns)
    return turned


def degree_of(count: int) -> int:
    """Return the degree d with (d + 1)^2 coefficients."""
    return int(np.sqrt(count)) - 1
