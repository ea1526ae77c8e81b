# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Winding number, points inside and mesh topology against a naive reference."""

from __future__ import annotations

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import _core

# Median 8e-4 and largest 6.1e-3 measured on bunny.obj; the largest grows with the number of queries.
FAST_WINDING = 2e-2
# Sum of some thousand atan2, each good to a few eps of pi.
EXACT_WINDING = 1e-12


def solid_angle_sum(vertices: np.ndarray, triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Exact winding number: the sum of all signed solid angles, straight from the formula."""
    result = np.zeros(len(points))
    for i, q in enumerate(points):
        a, b, c = (vertices[triangles[:, k]] - q for k in range(3))
        la, lb, lc = (np.linalg.norm(e, axis=1) for e in (a, b, c))
        top = np.einsum("ij,ij->i", a, np.cross(b, c))
        bottom = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
        result[i] = 2.0 * np.arctan2(top, bottom).sum() / (4.0 * np.pi)
    return result


def random_points(mesh: dm.Mesh, count: int, rng: np.random.Generator) -> np.ndarray:
    low, high = mesh.bounds
    return rng.uniform(low - 0.3 * (high - low), high + 0.3 * (high - low), (count, 3))


@pytest.mark.parametrize("name", ["sphere", "box", "trefoil", "double_torus", "letter_a", "ring"])
def test_winding_number_of_closed_meshes(name: str, rng: np.random.Generator) -> None:
    mesh = dm.shapes.make(name)
    points = random_points(mesh, 150, rng)
    reference = solid_angle_sum(mesh.vertices, mesh.triangles, points)
    exact = _core.winding_number(mesh.vertices, mesh.triangles, points, exact=True)
    fast = _core.winding_number(mesh.vertices, mesh.triangles, points)
    np.testing.assert_allclose(exact, reference, rtol=0, atol=EXACT_WINDING)
    np.testing.assert_allclose(exact, np.round(exact), rtol=0, atol=EXACT_WINDING)
    np.testing.assert_allclose(fast, reference, rtol=0, atol=FAST_WINDING)
    inside = _core.points_inside(mesh.vertices, mesh.triangles, points)
    np.testing.assert_array_equal(inside, reference > 0.5)
    assert 0 < inside.sum() < len(points)


def test_winding_number_of_an_open_mesh(rng: np.random.Generator) -> None:
    mesh = dm.shapes.make("sphere")
    upper = mesh.triangles[mesh.vertices[mesh.triangles].mean(axis=1)[:, 2] > -0.5]
    upper = np.ascontiguousarray(upper)
    points = random_points(mesh, 150, rng)
    reference = solid_angle_sum(mesh.vertices, upper, points)
    assert np.abs(reference - np.round(reference)).max() > 0.2
    fast = _core.winding_number(mesh.vertices, upper, points)
    np.testing.assert_allclose(fast, reference, rtol=0, atol=FAST_WINDING)
    np.testing.assert_array_equal(_core.points_inside(mesh.vertices, upper, points), reference > 0.5)


def test_no_nan_on_vertices_edges_and_faces() -> None:
    mesh = dm.shapes.make("box")
    corner, edge = mesh.vertices[0], mesh.vertices[mesh.triangles[0, :2]].mean(axis=0)
    face = mesh.vertices[mesh.triangles[0]].mean(axis=0)
    values = _core.winding_number(mesh.vertices, mesh.triangles, np.stack([corner, edge, face]))
    assert np.isfinite(values).all()
    assert (np.abs(values) <= 1.0 + EXACT_WINDING).all()


def test_degenerate_triangles_change_nothing(rng: np.random.Generator) -> None:
    mesh = dm.shapes.make("box")
    points = random_points(mesh, 100, rng)
    extra = np.array([[0, 0, 1], [2, 2, 2]], dtype=np.int32)
    more = np.concatenate([mesh.triangles, extra])
    np.testing.assert_allclose(
        _core.winding_number(mesh.vertices, more, points),
        _core.winding_number(mesh.vertices, mesh.triangles, points),
        rtol=0,
        atol=EXACT_WINDING,
    )
    assert _core.mesh_topology(mesh.vertices, more)[0].shape == (0, 2)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_scale_and_offset(scale: float, rng: np.random.Generator) -> None:
    mesh = dm.shapes.make("torus")
    points = random_points(mesh, 200, rng)
    reference = _core.points_inside(mesh.vertices, mesh.triangles, points)
    moved = mesh.transformed(scale, (5.0 * scale, -3.0 * scale, scale))
    offset = np.array([5.0, -3.0, 1.0]) * scale
    inside = _core.points_inside(moved.vertices, moved.triangles, points * scale + offset)
    np.testing.assert_array_equal(inside, reference)


def test_topology_merges_repeated_vertices() -> None:
    mesh = dm.shapes.make("torus")
    soup = np.ascontiguousarray(mesh.vertices[mesh.triangles].reshape(-1, 3))
    triangles = np.arange(len(soup), dtype=np.int32).reshape(-1, 3)
    unbalanced, boundary, non_manifold = _core.mesh_topology(soup, triangles)
    assert (unbalanced.shape[0], boundary, non_manifold) == (0, 0, 0)
    assert _core.mesh_topology(soup, np.ascontiguousarray(triangles[1:]))[0].shape == (3, 2)


def test_topology_counts_non_manifold_edges() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, -1, 0]], dtype=np.float64)
    triangles = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]], dtype=np.int32)
    assert _core.mesh_topology(vertices, triangles)[1:] == (7, 1)


def test_equal_for_any_number_of_threads(rng: np.random.Generator) -> None:
    mesh = dm.shapes.make("trefoil")
    points = random_points(mesh, 3000, rng)
    results = []
    try:
        for threads in (1, 2, 3):
            dm.set_num_threads(threads)
            results.append(_core.winding_number(mesh.vertices, mesh.triangles, points))
    finally:
        dm.set_num_threads(None)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_native_functions_refuse_a_wrong_index() -> None:
    triangles = np.array([[0, 1, 3]], dtype=np.int32)
    with pytest.raises(ValueError, match="triangles: expected indices below the number of vertices"):
        _core.winding_number(np.zeros((3, 3)), triangles, np.zeros((1, 3)))
