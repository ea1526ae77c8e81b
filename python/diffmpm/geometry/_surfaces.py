# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Triangle surfaces from formulas: grids over two parameters, and zero level sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .._arrays import Array
from .._repr import short_repr
from .appearance import Appearance

Field = Callable[[Array, Array, Array], Array]
"""Function of the coordinates x, y, z (arrays of equal shape) that is negative inside."""


@short_repr
class Surface(NamedTuple):
    """Vertices and triangles before `Mesh` checks them."""

    vertices: Array
    """Vertex positions, shape (V, 3), float64."""
    triangles: Array
    """Vertex indices, shape (T, 3), integers from 0 to V - 1."""
    appearance: Appearance | None = None
    """Colours, if the file has any."""


_NEWTON_STEPS = 4
"""Newton steps that project the vertices of an implicit surface; convergence is quadratic."""
_OFF_CENTER = 0.137
"""Grid offset in cells: a symmetric grid would put nodes exactly on a symmetric surface."""


def grid_triangles(rows: int, columns: int, *, rows_closed: bool) -> Array:
    """Return the triangles of a grid of vertices (r, c) at index r * columns + c; each row is a closed ring.

    Normals point along the cross product of the column and row directions.
    """
    last = rows if rows_closed else rows - 1
    r, c = np.meshgrid(np.arange(last), np.arange(columns), indexing="ij")
    r2, c2 = (r + 1) % rows, (c + 1) % columns
    a, b, d, e = (i * columns + j for i, j in ((r, c), (r, c2), (r2, c), (r2, c2)))
    return np.stack([a, e, d, a, b, e], axis=-1).reshape(-1, 3).astype(np.int32)


def revolve(profile: Array, segments: int, *, closed: bool) -> Surface:
    """Revolve a profile of (radius, height) pairs about the z axis.

    Args:
        profile: Points, shape (P, 2). An open profile starts and ends on the axis (radius 0), the lower end first;
            a closed one runs counter-clockwise with radius to the right and height upwards.
        segments: Number of segments about the axis.
        closed: Whether the profile is closed.
    """
    angle = np.linspace(0.0, 2.0 * np.pi, segments, endpoint=False)
    ring = profile if closed else profile[1:-1]
    radius, height = ring[:, :1], ring[:, 1:]
    z = np.broadcast_to(height, (len(ring), segments))
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=-1).reshape(-1, 3)
    triangles = grid_triangles(len(ring), segments, rows_closed=closed)
    if closed:
        return Surface(points, triangles)
    around = np.arange(segments, dtype=np.int32)
    after = (around + 1) % segments
    first, last = len(points), len(points) + 1
    top = (len(ring) - 1) * segments
    caps = [
        np.stack([np.full(segments, first, np.int32), after, around], axis=1),
        np.stack([np.full(segments, last, np.int32), top + around, top + after], axis=1),
    ]
    poles = np.array([[0.0, 0.0, profile[0, 1]], [0.0, 0.0, profile[-1, 1]]])
    return Surface(np.concatenate([points, poles]), np.concatenate([triangles, *caps]).astype(np.int32))


def tube(curve: Array, radius: float, segments: int) -> Surface:
    """Return a tube of constant radius about a closed curve (P, 3), with a minimally rotating frame."""
    count = len(curve)
    tangent = np.roll(curve, -1, axis=0) - np.roll(curve, 1, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.zeros_like(curve)
    start = np.cross(tangent[0], np.eye(3)[np.argmin(np.abs(tangent[0]))])
    normal[0] = start / np.linalg.norm(start)
    for i in range(1, count + 1):
        carried = normal[i - 1] - normal[i - 1].dot(tangent[i % count]) * tangent[i % count]
        carried /= np.linalg.norm(carried)
        if i < count:
            normal[i] = carried
    # Distribute the angle between the last frame and the first over the whole curve.
    side = np.cross(tangent[0], normal[0])
    miss = -np.arctan2(carried.dot(side), carried.dot(normal[0]))
    binormal = np.cross(tangent, normal)
    angle = np.linspace(0.0, 2.0 * np.pi, segments, endpoint=False)[None, :]
    angle = angle + (np.arange(count) * miss / count)[:, None]
    ring = np.cos(angle)[..., None] * normal[:, None] + np.sin(angle)[..., None] * binormal[:, None]
    points = (curve[:, None] + radius * ring).reshape(-1, 3)
    return Surface(points, grid_triangles(count, segments, rows_closed=True))


def icosphere(levels: int) -> Surface:
    """Return a unit sphere: an icosahedron subdivided `levels` times."""
    g = (1.0 + 5.0**0.5) / 2.0
    corners = [(-1, g, 0), (1, g, 0), (-1, -g, 0), (1, -g, 0), (0, -1, g), (0, 1, g)]
    corners += [(0, -1, -g), (0, 1, -g), (g, 0, -1), (g, 0, 1), (-g, 0, -1), (-g, 0, 1)]
    faces = "0 11 5 0 5 1 0 1 7 0 7 10 0 10 11 1 5 9 5 11 4 11 10 2 10 7 6 7 1 8 "
    faces += "3 9 4 3 4 2 3 2 6 3 6 8 3 8 9 4 9 5 2 4 11 6 2 10 8 6 7 9 8 1"
    points = np.array(corners, dtype=np.float64)
    triangles = np.array(faces.split(), dtype=np.int32).reshape(-1, 3)
    for _ in range(levels):
        edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        unique, where = np.unique(edges, axis=0, return_inverse=True)
        middle = where.reshape(-1, 3).astype(np.int32) + np.int32(len(points))
        points = np.concatenate([points, points[unique].mean(axis=1)])
        (a, b, c), (ab, bc, ca) = triangles.T, middle.T
        parts = [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
        triangles = np.concatenate([np.stack(part, axis=1) for part in parts])
    return Surface(points / np.linalg.norm(points, axis=1, keepdims=True), triangles)


def implicit_surface(field: Field, half: tuple[float, float, float], cells: int) -> Surface:
    """Return the zero level set of a field: one vertex per cut cell, one quad per cut grid edge.

    The quads are dual to the boundary between inside and outside nodes, so the surface is closed. Newton steps along
    the gradient, limited to the neighbourhood of the cell, then project the vertices.

    Args:
        field: Negative inside, positive on the boundary of the box.
        half: Half edges of the box about the origin.
        cells: Number of cells along the longest edge.

    References:
        Gibson 1998, Constrained elastic surface nets.
    """
    step = 2.0 * max(half) / cells
    counts = [int(np.ceil(2.0 * h / step)) + 3 for h in half]
    axes = [(np.arange(n) - 0.5 * (n - 1) + _OFF_CENTER) * step for n in counts]
    inside = field(*np.meshgrid(*axes, indexing="ij")) < 0.0
    nx, ny, nz = (n - 1 for n in counts)
    total = np.sum([inside[i : i + nx, j : j + ny, k : k + nz] for i, j, k in np.ndindex(2, 2, 2)], axis=0)
    cut = (total > 0) & (total < 8)
    number = np.cumsum(cut).reshape(cut.shape).astype(np.int32) - 1
    where = np.argwhere(cut)
    points = np.stack([axes[a][where[:, a]] + 0.5 * step for a in range(3)], axis=1)
    points = _project(field, points, step)
    # Split each quad along its shorter diagonal.
    q = np.concatenate([_quads_across(inside, number, axis) for axis in range(3)])
    first = np.linalg.norm(points[q[:, 0]] - points[q[:, 2]], axis=1)
    second = np.linalg.norm(points[q[:, 1]] - points[q[:, 3]], axis=1)
    q = np.where((first <= second)[:, None], q, np.roll(q, 1, axis=1))
    return Surface(points, np.concatenate([q[:, [0, 1, 2]], q[:, [0, 2, 3]]]))


def _quads_across(inside: Array, number: Array, axis: int) -> Array:
    """Return the quads between the nodes n and n + 1 along an axis, counter-clockwise as seen from outside."""
    inside, number = np.moveaxis(inside, axis, 0), np.moveaxis(number, axis, 0)
    # After moveaxis the other two axes are (y, z), (x, z), (x, y): right-handed, left-handed, right-handed.
    low, high = inside[:-1, 1:-1, 1:-1], inside[1:, 1:-1, 1:-1]
    i, j, k = np.nonzero(low != high)
    quads = np.stack([number[i, j + dj, k + dk] for dj, dk in ((0, 0), (1, 0), (1, 1), (0, 1))], axis=1)
    outward = low[i, j, k] if axis != 1 else ~low[i, j, k]
    return np.where(outward[:, None], quads, quads[:, ::-1])


def _project(field: Field, points: Array, step: float) -> Array:
    start, tiny = points, 1e-4 * step
    for _ in range(_NEWTON_STEPS):
        value = field(*points.T)
        slope = np.stack(
            [(field(*(points + tiny * e).T) - field(*(points - tiny * e).T)) / (2.0 * tiny) for e in np.eye(3)], axis=1
        )
        squared = np.maximum((slope**2).sum(axis=1), 1e-12)
        # Stay near the cell: neighbours must not swap positions.
        points = start + np.clip(points - (value / squared)[:, None] * slope - start, -0.75 * step, 0.75 * step)
    return points
