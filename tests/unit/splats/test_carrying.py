# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gaussians on a moving body."""

from __future__ import annotations

import diffmpm as dm
import numpy as np
from diffmpm.export.harmonics import rotated
from diffmpm.splats import bind
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from .conftest import MakeScene


def test_rigid_motion_moves_gaussians_exactly(scene: MakeScene, rng: np.random.Generator) -> None:
    splats, x = scene("sphere", 500), dm.sample("sphere", particles=2_000, dtype="float64").x
    turn, shift = Rotation.from_quat(rng.normal(size=4)).as_matrix(), np.array([1.0, -2.0, 3.0])
    moved = bind(splats, x).evaluate(x @ turn.T + shift, np.broadcast_to(turn, (len(x), 3, 3)))
    size = float(np.ptp(splats.means))
    assert_allclose(moved.means, splats.means @ turn.T + shift, atol=1e-6 * size)
    covars = turn @ splats.covariances() @ turn.T
    assert_allclose(moved.covariances(), covars, atol=1e-5 * float(np.abs(covars).max()))
    eye = np.array([3.0, 1.0, -8.0])
    assert_allclose(moved.colors_from(turn @ eye + shift), splats.colors_from(eye), atol=1e-5)
    assert_allclose(moved.opacities, splats.opacities)


def test_stretch_of_covariances_is_limited(scene: MakeScene) -> None:
    splats, x = scene("sphere", 100, 0), dm.sample("sphere", particles=2_000, dtype="float64").x
    stretch = np.diag([1.5, 1.0, 1.0])
    moved = bind(splats, x).evaluate(x @ stretch, np.broadcast_to(stretch, (len(x), 3, 3)))
    covars = stretch @ splats.covariances() @ stretch
    assert_allclose(moved.covariances(), covars, atol=1e-5 * float(np.abs(covars).max()))
    stretch = np.diag([50.0, 1.0, 1.0])
    moved = bind(splats, x).evaluate(x @ stretch, np.broadcast_to(stretch, (len(x), 3, 3)))
    assert moved.scales.max() <= 2.001 * splats.scales.max()


def test_gaussians_follow_the_mean_gradient_of_their_particles(scene: MakeScene, rng: np.random.Generator) -> None:
    """Also where particles are turned inside out, flat or linear: their smallest stretch counts as positive."""

    def decomposed(F: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        u, stretches, vt = np.linalg.svd(F)
        u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]
        return u, stretches, vt

    splats, x = scene("sphere", 300, 2), dm.sample("sphere", particles=500, dtype="float64").x
    F = np.eye(3) + 0.8 * rng.normal(size=(len(x), 3, 3))
    assert (np.linalg.det(F) < 0.0).sum() > 20
    moved = bind(splats, x).evaluate(x, F)
    u, stretches, vt = decomposed(F)
    limited = (u * np.clip(stretches, 0.5, 2.0)[:, None, :]) @ vt
    binding = bind(splats, x).binding
    weights = np.asarray(binding.evaluate(x, limited).weights)
    u, stretches, vt = decomposed(np.einsum("mk,mkij->mij", weights, limited[binding.parents]))
    half = (u * stretches[:, None, :]) @ vt
    covars = half @ splats.covariances() @ half.transpose(0, 2, 1)
    assert_allclose(moved.covariances(), covars, atol=1e-5 * float(np.abs(covars).max()))
    assert splats.sh_rest is not None and moved.sh_rest is not None
    assert_allclose(moved.sh_rest, rotated(splats.sh_rest.astype(np.float64), u @ vt), atol=1e-5)
    for flat in (np.diag([3.0, 1.0, 0.0]), np.diag([0.0, 0.0, 3.0]), np.zeros((3, 3)), np.diag([1.0, 1.0, -1.0])):
        moved = bind(splats, x).evaluate(x, np.broadcast_to(flat, F.shape))
        assert np.isfinite(moved.covariances()).all() and np.isfinite(moved.sh_rest).all()
