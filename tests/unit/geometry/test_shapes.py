# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Built-in shapes: closed, manifold, outward, of equal volume, and of known topology."""

from __future__ import annotations

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import _core
from diffmpm.geometry.mesh import measure

GENUS = {
    "torus": 1,
    "ring": 1,
    "trefoil": 1,
    "gear": 1,
    "double_torus": 2,
    "pretzel": 3,
    "frame": 5,
    "letter_a": 1,
    "letter_b": 2,
    "letter_o": 1,
}


def test_at_least_eight_shapes_of_several_topologies() -> None:
    assert len(dm.shapes.names()) >= 8
    assert len({GENUS.get(name, 0) for name in dm.shapes.names()}) >= 4
    assert set(GENUS) <= set(dm.shapes.names())


@pytest.mark.parametrize("name", dm.shapes.names())
def test_shape(name: str) -> None:
    mesh = dm.load_mesh(name)
    assert mesh.name == name
    assert mesh.is_closed
    assert mesh.non_manifold_edges == 0
    edges = np.unique(np.sort(mesh.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    euler = len(mesh.vertices) - len(edges) + len(mesh.triangles)
    assert euler == 2 - 2 * GENUS.get(name, 0)
    solid = measure(mesh)
    np.testing.assert_allclose(solid.volume, 4.0 / 3.0 * np.pi, rtol=1e-9)
    np.testing.assert_allclose(solid.centroid, np.zeros(3), rtol=0, atol=1e-9)
    points = np.random.default_rng(0).uniform(mesh.bounds[0], mesh.bounds[1], (300, 3))
    winding = _core.winding_number(mesh.vertices, mesh.triangles, points, exact=True)
    # 0 or 1 everywhere: oriented outward and free of self-overlap.
    np.testing.assert_allclose(winding, winding > 0.5, rtol=0, atol=1e-9)


def test_closed_forms() -> None:
    sphere = dm.shapes.make("sphere")
    radius = np.linalg.norm(sphere.vertices, axis=1)
    # 5120 flat triangles at equal volume: the sphere through the vertices is 0.1 % larger.
    np.testing.assert_allclose(radius, 1.0, rtol=3e-3)
    np.testing.assert_allclose(sphere.area, 4.0 * np.pi, rtol=3e-3)
    # Torus with R = 2.5 r: V = 2 pi^2 R r^2, area = 4 pi^2 R r.
    tube = (4.0 / 3.0 * np.pi / (5.0 * np.pi**2)) ** (1 / 3)
    np.testing.assert_allclose(dm.shapes.make("torus").area, 10.0 * np.pi**2 * tube**2, rtol=3e-3)
    np.testing.assert_allclose(dm.shapes.make("box").area, 6.0 * (4.0 / 3.0 * np.pi) ** (2 / 3), rtol=1e-12)


def test_shapes_are_shared_and_read_only() -> None:
    assert dm.shapes.make("torus") is dm.load_mesh("torus")
    with pytest.raises(ValueError, match="read-only"):
        dm.shapes.make("torus").vertices[0] = 0.0
