# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Signed distance to a mesh on a grid."""

from __future__ import annotations

import numpy as np
import pytest
from diffmpm import _core
from diffmpm.geometry import Mesh, load_mesh
from diffmpm.geometry.distance import signed_distance

BOX = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 2.0) for z in (0.0, 3.0)])
FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 7, 5], [4, 6, 7], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4],
     [1, 5, 7], [1, 7, 3]]
)  # fmt: skip


def nodes(field):
    """Return the positions of the nodes, shape (I, J, K, 3)."""
    axes = [o + field.spacing * np.arange(n) for o, n in zip(field.origin, field.values.shape, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def box_distance(points, size):
    """Return the exact signed distance to a box with a corner at 0."""
    q = np.abs(points - 0.5 * size) - 0.5 * size
    return np.linalg.norm(np.maximum(q, 0.0), axis=-1) + np.minimum(q.max(axis=-1), 0.0)


@pytest.mark.parametrize("turned", [False, True])
def test_box(turned):
    """Faces, edges and corners, for large triangles along the axes and oblique to them."""
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0] if turned else np.eye(3)
    turn *= np.sign(np.linalg.det(turn))
    field = signed_distance(Mesh(BOX @ turn.T, FACES), 0.13, 0.7)
    expected = box_distance(nodes(field) @ turn, np.array([1.0, 2.0, 3.0]))
    near = np.abs(expected) < 1.7 * 0.13
    np.testing.assert_allclose(field.values[near], expected[near], atol=1e-12)
    np.testing.assert_array_equal(field.values > 0, expected > 0)
    np.testing.assert_allclose(field.values, expected, atol=1.3 * 0.13)  # about a cell


def test_curved_shape_matches_the_nearest_point_of_its_triangles():
    mesh = load_mesh("torus")
    spacing = 0.11
    field = signed_distance(mesh, spacing, 0.3)
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(3), (200, len(mesh.triangles)))
    surface = np.einsum("stc,tcx->stx", weights, mesh.vertices[mesh.triangles]).reshape(-1, 3)
    points = nodes(field).reshape(-1, 3)
    nearest = _core.PointTree(np.ascontiguousarray(surface)).nearest(np.ascontiguousarray(points))
    near = nearest < 1.7 * spacing
    assert near.sum() > 1000
    np.testing.assert_allclose(np.abs(field.values.ravel()[near]), nearest[near], atol=5e-3)  # of the samples
    assert (np.abs(field.values.ravel()[near]) <= nearest[near] + 1e-12).all()


def test_degenerate_triangles_are_edges_and_points():
    vertices = np.array([[0.0, 0, 0], [1.0, 0, 0], [0.5, 0, 0]])
    triangles = np.array([[0, 1, 2], [0, 0, 0]], np.int32)
    distance = _core.distance_to_triangles(vertices, triangles, (0.0, 0.3, 0.4), 1.0, (3, 1, 1), 5.0)
    np.testing.assert_allclose(distance.ravel(), [0.5, 0.5, np.sqrt(1.25)], rtol=1e-14)


def test_inside_and_outside_of_an_open_mesh():
    """The winding number also decides at a hole."""
    field = signed_distance(Mesh(BOX, FACES[2:]), 0.1, 0.5)
    points = nodes(field)
    assert (field.values[box_distance(points, np.array([1.0, 2.0, 3.0])) > 0.45] > 0).all()
    assert field.values[tuple(((np.array([0.8, 1.0, 1.5]) - field.origin) / 0.1).round().astype(int))] < 0
