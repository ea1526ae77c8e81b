# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Triangle mesh of a particle body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .._arrays import Array, ArrayLike
from .._options import choice
from .._repr import pictured, short_repr
from .config import SurfaceConfig
from .fitting import fit_surface

Islands = Literal["all", "largest"]


@pictured("mesh")
@short_repr
@dataclass(frozen=True, eq=False)
class SurfaceMesh:
    """A closed triangle mesh with vertex normals; `diffmpm.export.write_mesh` writes it."""

    vertices: Array
    """Positions [m], shape (V, 3), float64."""
    triangles: Array
    """Vertex indices, shape (T, 3), int32, counter-clockwise seen from outside."""
    normals: Array
    """Outward unit normals of the vertices, shape (V, 3), float64."""
    colors: Array | None = None
    """Colours of the vertices in [0, 1], shape (V, 3), float32; None without colours."""


def mesh(
    x: ArrayLike,
    *,
    resolution: float = 1.0,
    config: SurfaceConfig | None = None,
    colors: ArrayLike | None = None,
    islands: Islands = "all",
) -> SurfaceMesh:
    """Return the surface of a body as a triangle mesh: the surface that images show. It has no gradient.

    Args:
        x: Positions [m], shape (N, 3), float32 or float64.
        resolution: Edge of a grid cell, in particle spacings, from 0.05 to 2.
        config: Options, of which `spacing` and `smoothing` are used; the defaults if None.
        colors: Colours of the particles, shape (N, 3), blended at the vertices.
        islands: "all" connected parts, or the "largest" by its number of triangles.

    Raises:
        ConfigError: If an argument is invalid, the grid would be too large, or the particles have no surface.

    References:
        `diffmpm.surface.fit_surface`; docs/method.md, section 6.
    """
    choice(islands, "islands", ("all", "largest"))
    options = config or SurfaceConfig()
    surface = fit_surface(x, colors=colors, spacing=options.spacing, resolution=resolution, smoothing=options.smoothing)
    vertices, normals, blended = surface.vertices, surface.normals.astype(np.float64), surface.colors
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    triangles = _triangles(vertices, surface.quads)
    if islands == "largest":
        triangles, used = _largest(triangles, len(vertices))
        vertices, normals = vertices[used], normals[used]
        blended = None if blended is None else blended[used]
    return SurfaceMesh(vertices, triangles, normals, blended)


def _triangles(vertices: Array, quads: Array) -> Array:
    """Split quadrilaterals along the shorter diagonal."""
    first, second = (np.square(vertices[quads[:, k + 2]] - vertices[quads[:, k]]).sum(axis=1) for k in (0, 1))
    order = np.where((first <= second)[:, None], (0, 1, 2, 0, 2, 3), (1, 2, 3, 1, 3, 0))
    return np.ascontiguousarray(np.take_along_axis(quads, order, axis=1).reshape(-1, 3))


def _largest(triangles: Array, count: int) -> tuple[Array, Array]:
    """Return the triangles of the largest part, with new indices, and the indices of its vertices."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([triangles[:, :2], triangles[:, 1:]])
    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(count, count))
    part = connected_components(graph, directed=False)[1]
    chosen = np.bincount(part[triangles[:, 0]]).argmax()
    used = np.flatnonzero(part == chosen)
    renumbered = np.zeros(count, np.int32)
    renumbered[used] = np.arange(len(used), dtype=np.int32)
    return renumbered[triangles[part[triangles[:, 0]] == chosen]], used
