# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gaussians on a moving body."""

from __future__ import annotations

import diffmpm as dm
import numpy as np
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
