# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Signed distance to the solid of a mesh, on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import _core
from .._arrays import Array
from .._repr import short_repr
from .mesh import Mesh, triple

_EXACT = 1.75
"""Distance in cells up to which node values are exact. A node farther from the surface is on the same side as all nodes
within sqrt(3) cells."""
_STRIDE = 3
"""Nodes per axis between those whose winding number gives the sign of the nodes around them."""


@short_repr
@dataclass(frozen=True, eq=False)
class DistanceField:
    """Signed distance to a solid at the nodes of a grid, positive outside."""

    values: Array
    """Distances [m] at the nodes, shape `dims`, float64."""
    origin: tuple[float, float, float]
    """Position [m] of node (0, 0, 0)."""
    spacing: float
    """Cell size [m]."""


def signed_distance(mesh: Mesh, spacing: float, margin: float) -> DistanceField:
    """Compute the signed distance on a grid around a mesh.

    Values up to 1.75 cells from the surface are exact: the distance to the nearest triangle, with the sign of the
    winding number. The others are estimated by distances between nodes, within about a cell. At the holes of an open
    mesh the sign changes without the value passing 0.

    Args:
        mesh: The mesh.
        spacing: Cell size [m].
        margin: Distance [m] from the bounding box to the border of the grid.
    """
    low, high = mesh.bounds
    origin = low - margin
    dims = np.ceil((high + margin - origin) / spacing).astype(int) + 1
    distance = _core.distance_to_triangles(
        mesh.vertices, mesh.triangles, triple(origin), spacing, triple(dims), _EXACT * spacing
    )

    def outside(nodes: Array) -> Array:
        """Return whether nodes, shape (K, 3), are outside the solid."""
        points = np.ascontiguousarray(origin + spacing * nodes)
        return _core.points_inside(mesh.vertices, mesh.triangles, points) == 0

    coarse = [np.arange(1, n + _STRIDE - 1, _STRIDE) for n in dims]  # the last one may lie beyond the grid
    signs = outside(np.stack(np.meshgrid(*coarse, indexing="ij"), axis=-1).reshape(-1, 3))
    signs = signs.reshape([len(c) for c in coarse])
    for axis, n in enumerate(dims):
        signs = np.take(signs, np.arange(n) // _STRIDE, axis=axis)
    near = np.isfinite(distance)
    signs[near] = outside(np.argwhere(near))
    far = spacing * (_EXACT - 0.5 + _core.distance_to_marked(near.view(np.uint8)))
    values = np.where(near, distance, far)
    return DistanceField(np.where(signs, values, -values), triple(origin), spacing)
