# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Meshes with inconsistent or inward winding: the solid is recovered, and the warning names the defect."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import _core
from diffmpm.errors import MeshError, MeshWarning

BALL = dm.shapes.make("sphere")
FACES = np.array(BALL.triangles)
VOLUME = BALL.volume
Part = tuple[np.ndarray, np.ndarray]


def ball(x: float = 0.0, radius: float = 1.0, turned: slice = slice(0)) -> Part:
    """A ball at x with some triangles flipped."""
    triangles = FACES.copy()
    triangles[turned] = triangles[turned][:, ::-1]
    return radius * BALL.vertices + np.array([x, 0.0, 0.0]), triangles


def together(parts: Sequence[Part]) -> Part:
    shifts = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
    triangles = [t + shift for (_, t), shift in zip(parts, shifts, strict=False)]
    return np.concatenate([vertices for vertices, _ in parts]), np.concatenate(triangles)


def load(*parts: Part) -> tuple[dm.Mesh, str]:
    """Load parts as one mesh; return it with the text of its warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mesh = dm.load_mesh(together(parts))
        assert mesh.volume
    assert {w.category for w in caught} <= {MeshWarning}
    assert len(caught) <= 1
    return mesh, "".join(str(w.message) for w in caught)


ALL = slice(None)
HALF = slice(0, len(FACES) // 2)


@pytest.mark.parametrize(
    ("parts", "volume", "message"),
    [
        ([ball()], 1, ""),
        ([ball(turned=ALL)], 1, "the mesh is inside out (turned over);"),
        ([ball(turned=slice(0, None, 2))], 1, "the mesh is wound inconsistently (2560 of 5120 triangles turned over);"),
        ([ball(turned=HALF)], 1, "the mesh is wound inconsistently (2560 of 5120 triangles turned over);"),
        ([ball(turned=slice(0, 100))], 1, "the mesh is wound inconsistently (100 of 5120 triangles turned over);"),
        (
            [ball(turned=slice(100, None))],
            1,
            "wound inconsistently (100 of 5120 triangles turned over), inside out (turned over);",
        ),
        ([ball(), ball(3, turned=ALL)], 2, "the mesh is inside out in parts (turned over);"),
        ([ball(0, turned=ALL), ball(3), ball(6, 2, ALL)], 10, "the mesh is inside out in parts (turned over);"),
        ([ball(0, turned=ALL), ball(3, turned=ALL)], 2, "the mesh is inside out (turned over);"),
        ([ball(), ball(3, turned=HALF)], 2, "the mesh is wound inconsistently (2560 of 10240 triangles turned over);"),
        # A cavity stays one, however the mesh is wound; so does a ball in a cavity.
        ([ball(), ball(0, 0.5, ALL)], 1 - 0.125, ""),
        ([ball(0, 0.5, ALL), ball()], 1 - 0.125, ""),
        ([ball(turned=ALL), ball(0, 0.5)], 1 - 0.125, "the mesh is inside out (turned over);"),
        ([ball(), ball(0, 0.5, ALL), ball(0, 0.25)], 1 - 0.125 + 0.25**3, ""),
        ([ball(turned=ALL), ball(0, 0.5), ball(0, 0.25, ALL)], 1 - 0.125 + 0.25**3, "inside out (turned over);"),
        ([ball(), ball(0, 0.5, ALL), ball(3, turned=ALL), ball(3, 0.5)], 2 * (1 - 0.125), "in parts (turned over);"),
        ([ball(), ball(0, 0.5, ALL), ball(3, turned=ALL)], 2 - 0.125, "inside out in parts (turned over);"),
        ([ball(), ball(-0.4, 0.3, ALL), ball(0.4, 0.3, ALL)], 1 - 2 * 0.027, ""),
        ([ball(turned=HALF), ball(0, 0.5, slice(0, 3000))], 1 - 0.125, "wound inconsistently ("),
    ],
)
def test_solids(parts: list[Part], volume: float, message: str) -> None:
    mesh, warning = load(*parts)
    assert mesh.is_closed
    assert message in warning
    assert bool(message) == bool(warning)
    assert "open" not in warning
    np.testing.assert_allclose(mesh.volume, volume * VOLUME, rtol=1e-9)
    x = dm.sample(mesh, particles=2000).x
    assert _core.points_inside(mesh.vertices, mesh.triangles, x.astype(np.float64)).mean() > 0.999


def test_triangle_soups_are_wound() -> None:
    """In formats such as .stl, triangles do not share vertices."""
    vertices, triangles = ball(turned=slice(0, None, 3))
    soup = vertices[triangles].reshape(-1, 3)
    mesh, warning = load((soup, np.arange(len(soup)).reshape(-1, 3)))
    assert "wound inconsistently (1707 of 5120 triangles turned over)" in warning
    np.testing.assert_allclose(mesh.volume, VOLUME, rtol=1e-9)


@pytest.mark.parametrize("missing", [1, 20])
def test_parts_with_small_holes_are_turned_as_well(missing: int) -> None:
    """A nearly closed part defines its outside; otherwise the whole mesh does."""
    mesh, warning = load(ball(), (ball(3)[0], FACES[missing:, ::-1]))
    assert "inside out in parts (turned over)" in warning
    assert "open (" in warning
    np.testing.assert_allclose(mesh.volume, 2 * VOLUME, rtol=1e-2)


def test_bowls_keep_their_side() -> None:
    """An open hemisphere may be the inner side of a wall: it is not flipped."""
    corners = BALL.vertices[FACES]
    upper = FACES[corners[:, :, 2].min(axis=1) >= 0.0]
    vertices = BALL.vertices + np.array([0.0, 0.0, 5.0])
    mesh, _ = load(ball(0, 2), (vertices, upper[:, ::-1]))
    np.testing.assert_array_equal(mesh.triangles[len(FACES) :], upper[:, ::-1] + len(BALL.vertices))


def test_one_sided_surfaces_are_named() -> None:
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    strip = [
        np.column_stack([(1 + s * np.cos(t / 2)) * c(t) for c in (np.cos, np.sin)] + [s * np.sin(t / 2)])
        for s in (-0.3, 0.3)
    ]
    i = np.arange(39)
    triangles = np.concatenate([np.column_stack([i, i + 1, i + 40]), np.column_stack([i + 1, i + 41, i + 40])])
    triangles = np.concatenate([triangles, [[39, 40, 79], [40, 0, 79]]])  # joined with a twist
    with pytest.warns(MeshWarning, match=r"open \(80 boundary edges\), one-sided \(\d+ edges across which"):
        mesh = dm.load_mesh((np.concatenate(strip), triangles))
    assert not mesh.is_closed


def test_two_balls_that_share_an_edge() -> None:
    """Four triangles share an edge: both parts are closed and oriented separately."""
    tetrahedron = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, -1, 0], [0, 0, -1]], dtype=np.float64)
    faces = [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]
    other = [[0, 4, 1], [0, 1, 5], [0, 5, 4], [1, 4, 5]]
    mesh, warning = load((tetrahedron, np.array(faces + [face[::-1] for face in other])))
    upright, _ = load((tetrahedron, np.array(faces + other)))
    assert "non-manifold (1 edges with more than two triangles)" in warning
    np.testing.assert_allclose([mesh.volume, upright.volume], 2 / 6, rtol=1e-12)


def test_both_sides_of_each_face_enclose_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mesh = dm.load_mesh((BALL.vertices, np.concatenate([FACES, FACES[:, ::-1]])))
        assert mesh.is_closed
        with pytest.raises(MeshError, match="expected a mesh that encloses a volume, got none"):
            _ = mesh.volume


def test_warning_names_both_volumes() -> None:
    mesh = dm.load_mesh(together([ball(), ball(1.0)]))
    with pytest.warns(MeshWarning, match=r"its solid has the volume 7\.0\d+ and the divergence theorem gives 8\.3\d+;"):
        assert mesh.volume < 7.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mesh.volume < 7.1  # once
        assert dm.load_mesh(together([ball(), ball(1.99)])).volume > 8.3  # less than 5 % in common


def test_many_parts_are_fast() -> None:
    """10,000 tetrahedra, every third inside out, in a box that is inside out as well."""
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float64)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    places = np.stack(np.meshgrid(*[np.arange(22)] * 3), axis=-1).reshape(-1, 3)[:10_000] * 2.0
    vertices = (places[:, None] + corners + 0.1 * rng.random((10_000, 1, 3))).reshape(-1, 3)
    triangles = np.repeat(faces[None], 10_000, axis=0) + 4 * np.arange(10_000)[:, None, None]
    triangles[::3] = triangles[::3, :, ::-1]
    box = dm.shapes.make("box")
    scaled = box.vertices * 30.0 / box.bounds[1] + 22.0
    start = time.perf_counter()
    mesh, warning = load((vertices, triangles.reshape(-1, 3)), (scaled, np.array(box.triangles)[:, ::-1]))
    assert time.perf_counter() - start < 30.0
    assert "inside out" in warning
    assert mesh.is_closed
    # The box was inside out, so every part in it is turned along: two thirds of them become cavities.
    cavities = 10_000 - len(range(0, 10_000, 3))
    np.testing.assert_allclose(mesh.volume, 60.0**3 - cavities / 6.0, rtol=1e-2)
