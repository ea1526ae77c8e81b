# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Spherical harmonics: values, orthonormality and rotation."""

from __future__ import annotations

import numpy as np
import pytest
from diffmpm.export import harmonics
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_rotated_harmonics_have_the_values_of_the_old_ones_in_rotated_directions(
    rng: np.random.Generator, degree: int
) -> None:
    rest = rng.normal(size=(50, (degree + 1) ** 2 - 1, 3))
    turns = Rotation.from_quat(rng.normal(size=(50, 4))).as_matrix()
    directions = rng.normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    constant = rng.normal(size=(50, 1, 3))
    turned = np.concatenate([constant, harmonics.rotated(rest, turns)], axis=1)
    old = np.concatenate([constant, rest], axis=1)
    back = np.einsum("mji,mj->mi", turns, directions)
    assert_allclose(harmonics.evaluate(turned, directions), harmonics.evaluate(old, back), atol=1e-12)
    one = harmonics.rotated(rest, turns[0])  # one rotation for all
    assert_allclose(one[0], harmonics.rotated(rest, turns)[0], atol=1e-14)


def test_harmonics_are_orthonormal() -> None:
    nodes, weights = np.polynomial.legendre.leggauss(8)
    angles = 2.0 * np.pi * np.arange(16) / 16
    z, phi = np.meshgrid(nodes, angles, indexing="ij")
    r = np.sqrt(1.0 - z**2)
    directions = np.stack([r * np.cos(phi), r * np.sin(phi), z], axis=-1).reshape(-1, 3)
    area = np.repeat(weights, 16) * 2.0 * np.pi / 16
    one = np.repeat(np.eye(16)[:, None, :, None], len(directions), axis=1).repeat(3, axis=3)  # one harmonic each
    basis = np.stack([harmonics.evaluate(c, directions)[:, 0] - 0.5 for c in one], axis=1)
    assert_allclose(basis.T @ (area[:, None] * basis), np.eye(16), atol=1e-12)


def test_harmonics_have_the_signs_of_gaussian_splatting() -> None:
    """A coefficient of 1 brightens the direction that the reference renderer brightens."""
    for index, direction, sign in ((1, (0, 1, 0), -1), (2, (0, 0, 1), 1), (3, (1, 0, 0), -1)):
        coefficients = np.zeros((1, 4, 3))
        coefficients[0, index] = 1.0
        value = harmonics.evaluate(coefficients, np.array([direction], float))
        assert_allclose(value, 0.5 + sign * np.sqrt(3.0 / (4.0 * np.pi)))
