# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Scenes as training makes them: overlapping discs on a surface, with colours that depend on the view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.export import Splats

MakeScene = Callable[..., Splats]


def make_scene(shape: str, count: int, degree: int = 3, seed: int = 0) -> Splats:
    rng, mesh = np.random.default_rng(seed), dm.load_mesh(shape)
    a, b, c = (mesh.vertices[mesh.triangles[:, k]] for k in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    face = rng.choice(len(areas), count, p=areas / areas.sum())
    u = rng.random((count, 2))
    u = np.where(u.sum(axis=1, keepdims=True) > 1.0, 1.0 - u, u)
    x = a[face] + u[:, :1] * (b - a)[face] + u[:, 1:] * (c - a)[face]
    normals = np.cross(b - a, c - a)[face] / areas[face, None]
    first = np.cross(normals, rng.normal(size=(count, 3)))
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    axes = np.stack([first, np.cross(normals, first), normals], axis=2)
    size = np.sqrt(0.5 * areas.sum() / count)
    scales = size * np.concatenate([rng.uniform(0.4, 1.0, (count, 2)), np.full((count, 1), 0.05)], axis=1)
    covars = axes @ (np.square(scales)[:, :, None] * axes.transpose(0, 2, 1))
    splats = Splats.create(x, covars, rng.random((count, 3)))
    rest = 0.1 * rng.normal(size=(count, (degree + 1) ** 2 - 1, 3)).astype(np.float32)
    opacities = rng.uniform(0.3, 0.99, count).astype(np.float32)
    return replace(splats, opacities=opacities, sh_rest=rest if degree else None)


@pytest.fixture(scope="session")
def scene() -> MakeScene:
    return make_scene
