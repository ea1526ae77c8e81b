# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Cut polygons into triangles."""

from __future__ import annotations

import numpy as np

from ..._arrays import Array
from .text import spans

_MOST_CORNERS = 4096
"""Corners of a concave polygon up to which ears are cut; a larger one becomes a fan, which has the same volume."""
_TRIES = 20
"""Ears that are tried for each corner before the rest becomes a fan."""
_STRAIGHT = 1e-12
"""Turn at a corner, over the square of the polygon's size, below which the corner counts as straight."""


def triangulate(vertices: Array, corners: Array, sizes: Array) -> Array:
    """Cut polygons into triangles with the same boundary, in the order of the polygons.

    Convex polygons become fans about their first corner. Concave ones are cut along other diagonals, so that no
    triangle lies outside: of a planar polygon the triangles cover exactly the polygon. Polygons of fewer than three
    corners have no area and are left out.

    Args:
        vertices: Positions, shape (V, 3), float64.
        corners: Vertex indices of all polygons, one after the other, each from 0 to V - 1.
        sizes: Number of corners of each polygon.

    Returns:
        Triangles, shape (T, 3).
    """
    first = np.cumsum(sizes) - sizes
    pieces = np.maximum(sizes - 2, 0)
    place = np.cumsum(pieces) - pieces
    triangles = np.empty((int(pieces.sum()), 3), np.int64)
    with np.errstate(all="ignore"):  # coordinates out of range are refused later
        for size in np.unique(sizes[sizes >= 3]).tolist():
            rows = np.flatnonzero(sizes == size)
            polygons = corners[first[rows, None] + np.arange(size)]
            triangles[spans(place[rows], pieces[rows])] = _cut(vertices, polygons).reshape(-1, 3)
    return triangles


def _cut(vertices: Array, polygons: Array) -> Array:
    """Triangles of polygons of n corners each, shape (P, n - 2, 3)."""
    size = polygons.shape[1]
    if size == 3:
        return polygons[:, None]
    fan = np.stack([np.zeros(size - 2, np.int64), np.arange(1, size - 1), np.arange(2, size)], axis=1)
    triangles = polygons[:, fan]
    points = vertices[polygons] - vertices[polygons[:, :1]]
    normals = np.cross(points[:, 1:-1], points[:, 2:])
    area = normals.sum(axis=1, keepdims=True)
    outside = ((normals * area).sum(axis=2) < 0.0).any(axis=1)
    for row in np.flatnonzero(outside).tolist() if size <= _MOST_CORNERS else ():
        triangles[row] = polygons[row, _cut_ears(_flattened(points[row], area[row, 0]))]
    return triangles


def _flattened(points: Array, area: Array) -> Array:
    """Project a polygon along the axis that its area vector is closest to; counter-clockwise, of about unit size."""
    axis = int(np.argmax(np.abs(area)))
    u, v = (axis + 1) % 3, (axis + 2) % 3
    flat = points[:, [u, v] if area[axis] > 0.0 else [v, u]]
    flattened: Array = flat / np.abs(flat).max()
    return flattened


def _turn(a: Array, b: Array, c: Array) -> Array:
    """Twice the area of the triangle a, b, c: positive for a left turn at b."""
    turn: Array = (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
    return turn


def _cut_ears(p: Array) -> Array:
    """Triangles of a counter-clockwise plane polygon, shape (n - 2, 3): ears are cut until three corners are left.

    An ear is a corner with a left turn whose triangle holds no other corner. Where there is none, as in a polygon
    that crosses itself, the rest becomes a fan.
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
    """Whether no corner without a left turn lies in a triangle or on its border, apart from its own corners."""
    others = p[blocking]
    inside = _turn(p[a], p[b], others) >= 0.0
    inside &= _turn(p[b], p[c], others) >= 0.0
    inside &= _turn(p[c], p[a], others) >= 0.0
    corners = p[[a, b, c]]
    return not any(not (q == corners).all(axis=1).any() for q in others[inside])
