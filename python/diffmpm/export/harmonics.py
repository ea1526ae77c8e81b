# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Real spherical harmonics in the order and with the signs of 3D Gaussian splatting."""

from __future__ import annotations

import numpy as np

from .._arrays import Array

DEGREES = (0, 1, 2, 3)
"""Degrees that files hold."""
SH_DC = 0.28209479177387814
"""Value of the harmonic of degree 0, 1 / (2 sqrt(pi)): colour = 1/2 + SH_DC * coefficient."""
_L1 = 0.4886025119029199  # sqrt(3 / (4 pi))
_L2 = (1.0925484305920792, 0.31539156525252005, 0.5462742152960396)
_L3 = (0.5900435899266435, 2.890611442640554, 0.4570457994644658, 0.3731763325901154, 1.445305721320277)


def band(degree: int, directions: Array) -> Array:
    """Return the harmonics of one degree.

    Args:
        degree: Degree l, 0 to 3.
        directions: Unit vectors, shape (..., 3).

    Returns:
        Values for the orders -l to l, shape (..., 2 l + 1).
    """
    x, y, z = (directions[..., k] for k in range(3))
    if degree == 0:
        values = [np.full_like(x, SH_DC)]
    elif degree == 1:
        values = [-_L1 * y, _L1 * z, -_L1 * x]
    elif degree == 2:
        a, b, c = _L2
        values = [a * x * y, -a * y * z, b * (2 * z * z - x * x - y * y), -a * x * z, c * (x * x - y * y)]
    else:
        a, b, c, d, e = _L3
        middle, outer = 4 * z * z - x * x - y * y, x * x - y * y
        values = [-a * y * (3 * x * x - y * y), b * x * y * z, -c * y * middle]
        values += [d * z * (2 * z * z - 3 * x * x - 3 * y * y), -c * x * middle, e * z * outer]
        values += [-a * x * (x * x - 3 * y * y)]
    return np.stack(values, axis=-1)


def evaluate(coefficients: Array, directions: Array) -> Array:
    """Return the colours 1/2 + sum c Y of Gaussians seen along directions, not clipped.

    Args:
        coefficients: Coefficients of degrees 0 to d, shape (M, (d + 1)^2, 3).
        directions: Unit vectors from the camera to each Gaussian, shape (M, 3).

    Returns:
        Colours, shape (M, 3).
    """
    basis = np.concatenate([band(degree, directions) for degree in range(degree_of(coefficients.shape[1]) + 1)], axis=1)
    return np.asarray(0.5 + np.einsum("mk,mkc->mc", basis, coefficients))


def rotated(rest: Array, rotations: Array) -> Array:
    """Rotate functions on the sphere: the new f(d) is the old f(R^T d).

    A function of one degree is determined by its values in 2 l + 1 fixed directions d_i. Those of the rotated function
    are the values of the old one at R^T d_i, from which a constant matrix returns the new coefficients.

    Args:
        rest: Coefficients of degrees 1 to d, shape (M, (d + 1)^2 - 1, 3).
        rotations: Rotation matrices R, shape (3, 3) or (M, 3, 3).

    Returns:
        Coefficients of the rotated functions, shape and dtype of `rest`.
    """
    result, first = np.empty_like(rest), 0
    for degree in range(1, degree_of(rest.shape[1] + 1) + 1):
        size = 2 * degree + 1
        directions = _DIRECTIONS[:size]
        before = np.einsum("...ji,nj->...ni", rotations, directions)  # R^T d
        turn = np.linalg.inv(band(degree, directions)) @ band(degree, before)
        result[:, first : first + size] = turn @ rest[:, first : first + size]
        first += size
    return result


def degree_of(count: int) -> int:
    """Return the degree d with (d + 1)^2 coefficients."""
    return int(np.sqrt(count)) - 1


def _spread(count: int) -> Array:
    """Return unit vectors that are about evenly spread over a half space, shape (count, 3)."""
    k = np.arange(count) + 0.5
    z, angle = 1.0 - k / count, k * np.pi * (3.0 - np.sqrt(5.0))
    r = np.sqrt(1.0 - z * z)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1)


_DIRECTIONS = _spread(7)
