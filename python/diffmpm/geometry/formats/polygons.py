# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Triangulation of polygons."""

from __future__ import annotations

import numpy as np

from ..._arrays import Array
from .text import spans

_MOST_CORNERS = 4096
"""Maximum number of corners for ear clipping; larger concave polygons become fans, which enclose the same volume."""
_TRIES = 20
"""Corners tested per corner of the polygon before the rest becomes a fan."""
_STRAIGHT = 1e-12
"""Turn at a corner, relative to the squared polygon size, below which the corner is straight."""


def triangulate(vertices: Array, corners: Array, sizes: Array) -> Array:
    """Return triangles with the same boundary as the polygons, in the same order.

    Convex polygons become fans about their first corner. Planar concave polygons are covered exactly, by ear
    clipping. Polygons of fewer than three corners are omitted.

    Args:
        vertices: Positions, shape (V, 3), float64.
        corners: Concatenated vertex indices of all polygons, each from 0 to V - 1.
        sizes: Number of corners of each polygon.

    Returns:
        Triangles, shape (T, 3).
    """
    return np.asarray(corners[triangle_corners(vertices, corners, sizes)])


def triangle_corners(vertices: Array, corners: Array, sizes: Array) -> Array:
    """Return the triangles of `triangulate` as indices into `corners`, shape (T, 3), for data of the corners."""
    first = np.cumsum(sizes) - sizes
    pieces = np.maximum(sizes - 2, 0)
    start = np.cumsum(pieces) - pieces
    triangles = np.empty((int(pieces.sum()), 3), np.int64)
    with np.errstate(all="ignore"):  # `Mesh` rejects coordinates out of range
        for size in np.unique(sizes[sizes >= 3]).tolist():
            rows = np.flatnonzero(sizes == size)
            numbers = first[rows, None] + np.arange(size)
            cut = _cut(vertices, corners[numbers])
            triangles[spans(start[rows], pieces[rows])] = np.take_along_axis(
                numbers, cut.reshape(len(rows), -1), axis=1
            ).reshape(-1, 3)
    return triangles


def polygon_of(sizes: Array) -> Array:
    """Return the polygon of each triangle of `triangulate`, shape (T,)."""
    return np.repeat(np.arange(len(sizes)), np.maximum(sizes - 2, 0))


def _cut(vertices: Array, polygons: Array) -> Array:
    """Return the triangles of polygons of n corners each as numbers of their corners, shape (P, n - 2, 3)."""
    size = polygons.shape[1]
    fan = np.stack([np.zeros(size - 2, np.int64), np.arange(1, size - 1), np.arange(2, size)], axis=1)
    triangles = np.repeat(fan[None], len(polygons), axis=0)
    if size == 3:
        return triangles
    points = vertices[polygons] - vertices[polygons[:, :1]]
    normals = np.cross(points[:, 1:-1], points[:, 2:])
    area = normals.sum(axis=1, keepdims=True)
    outside = ((normals * area).sum(axis=2) < 0.0).any(axis=1)
    for row in np.flatnonzero(outside).tolist() if size <= _MOST_CORNERS else ():
        triangles[row] = _cut_ears(_flattened(points[row], area[row, 0]))
    return triangles


def _flattened(points: Array, area: Array) -> Array:
    """Project a polygon along the axis closest to its area vector; counter-clockwise, coordinates up to 1."""
    axis = int(np.argmax(np.abs(area)))
    u, v = (axis + 1) % 3, (axis + 2) % 3
    flat = points[:, [u, v] if area[axis] > 0.0 else [v, u]]
    return np.asarray(flat / np.abs(flat).max())


def _turn(a: Array, b: Array, c: Array) -> Array:
    """Return twice the signed area of the triangle a, b, c: positive for a left turn at b."""
    u, v = b - a, c - a
    return np.asarray(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])


def _cut_ears(p: Array) -> Array:
    """Triangulate a counter-clockwise plane polygon by ear clipping, shape (n - 2, 3).

    An ear is a corner with a left turn whose triangle contains no other corner. A polygon without one, for example
    a self-intersecting one, becomes a fan.
    """
    n = len(p)
    after, before = np.roll(np.arange(n), -1).tolist(), np.roll(np.arange(n), 1).tolist()
    turns = _turn(p[before], p, p[after])
    blocking = turns <= _STRAIGHT
    triangles: list[tuple[int, int, int]] = []
    i, missed, tries = 0, 0, _TRIES * n
    while len(triangles) < n - 3:
        a, c = before[i], after[i]
        tries -= 1
        if missed > n or tries < 0 or (not blocking[i] and _is_empty(p, blocking, a, i, c)):
            triangles.append((a, i, c))
            after[a], before[c] = c, a
            blocking[i] = False
            for k in (a, c):
                blocking[k] = _turn(p[before[k]], p[k], p[after[k]]) <= _STRAIGHT
            missed = 0 if missed <= n else missed
        else:
            missed += 1
        i = c
    triangles.append((before[i], i, after[i]))
    return np.array(triangles)


def _is_empty(p: Array, blocking: Array, a: int, b: int, c: int) -> bool:
    """Whether no blocking corner lies in the triangle a, b, c or on its boundary, apart from its own corners."""
    others = p[blocking]
    inside = _turn(p[a], p[b], others) >= 0.0
    inside &= _turn(p[b], p[c], others) >= 0.0
    inside &= _turn(p[c], p[a], others) >= 0.0
    corners = p[[a, b, c]]
    return not any(not (q == corners).all(axis=1).any() for q in others[inside])
