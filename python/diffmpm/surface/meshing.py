# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Triangle mesh of a particle body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array, ArrayLike, as_points
from .._options import Range, as_number
from ..errors import ConfigError, MissingPackageError
from .config import SurfaceConfig, native_params

_MOST_NODES = 100_000_000
"""Grid nodes, each 32 bytes during evaluation; more are most likely a mistake in the resolution."""
_SLAB_NODES = 4_000_000
"""Nodes per evaluation."""
_MIN_SLOPE = 1e-12
"""Slope [1/m] times spacing below which a vertex has no normal."""


@dataclass(frozen=True, eq=False)
class SurfaceMesh:
    """A closed triangle mesh with vertex normals; `diffmpm.export.write_mesh` writes it."""

    vertices: Array
    """Positions [m], shape (V, 3), float64."""
    triangles: Array
    """Vertex indices, shape (T, 3), int32, counter-clockwise seen from outside."""
    normals: Array
    """Outward unit normals of the vertices, shape (V, 3), float64."""


def mesh(x: ArrayLike, *, resolution: float = 0.5, config: SurfaceConfig | None = None) -> SurfaceMesh:
    """Return the surface of a body as a triangle mesh: marching cubes of the fill fraction.

    It has no gradient. It shows the noise of the particle positions, which `bind` removes; a larger
    `SurfaceConfig.kernel_radius` smooths it.

    Args:
        x: Positions [m], shape (N, 3), float32 or float64.
        resolution: Edge of a grid cell, in particle spacings, from 0.05 to 2.
        config: Options, of which `spacing`, `kernel_radius` and `level` are used; the defaults if None.

    Raises:
        ConfigError: If an argument is invalid, or the grid would be too large.
        MissingPackageError: If scikit-image is not installed.

    References:
        Lorensen and Cline 1987, by scikit-image; docs/method.md, section 6.
    """
    pos = as_points(x, "x").astype(np.float64, copy=False)
    as_number(resolution, "resolution", Range(least=0.05, most=2.0))
    options = config or SurfaceConfig()
    params = native_params(options)
    marching_cubes = _marching_cubes()
    try:
        spacing = float(_core.surface_fill(pos, pos[:1], params)[2])
    except ValueError as error:
        raise ConfigError(str(error)) from None
    margin = (options.kernel_radius + resolution) * spacing
    cell = resolution * spacing
    low = pos.min(axis=0) - margin
    counts = np.ceil((pos.max(axis=0) + margin - low) / cell) + 1.0
    if counts.prod() > _MOST_NODES:
        raise ConfigError(
            f"resolution: expected a grid of at most {_MOST_NODES} nodes, got {counts.prod():.3g}; "
            "choose a larger resolution, or leave out particles far from the others"
        )
    fill = _fill_on_grid(pos, params, low, cell, counts.astype(int))
    indices, triangles, _, _ = marching_cubes(fill, options.level, gradient_direction="ascent")
    vertices, normals = _refine(pos, params, low + cell * indices.astype(np.float64), options.level, cell)
    return SurfaceMesh(vertices, np.ascontiguousarray(triangles, dtype=np.int32), normals)


def _marching_cubes() -> Any:
    try:
        from skimage.measure import marching_cubes
    except ImportError as error:
        raise MissingPackageError(
            "scikit-image: needed for meshes and not installed; pip install 'diffmpm[mesh]'"
        ) from error
    return marching_cubes


def _fill_on_grid(x: Array, params: Any, low: Array, cell: float, counts: Array) -> Array:
    """Return the fill fraction on grid nodes, float32, slab by slab along the first axis."""
    fill = np.empty(tuple(counts), dtype=np.float32)
    axes = [low[r] + cell * np.arange(counts[r]) for r in range(3)]
    thick = max(1, _SLAB_NODES // int(counts[1] * counts[2]))
    for first in range(0, counts[0], thick):
        slab = np.stack(np.meshgrid(axes[0][first : first + thick], axes[1], axes[2], indexing="ij"), axis=-1)
        values = _core.surface_fill(x, np.ascontiguousarray(slab.reshape(-1, 3)), params)[0]
        fill[first : first + thick] = values.reshape(slab.shape[:3])
    return fill


def _refine(x: Array, params: Any, vertices: Array, level: float, cell: float) -> tuple[Array, Array]:
    """Return vertices and normals after a Newton step, which removes the error of linear interpolation."""
    fill, slope, spacing = _core.surface_fill(x, vertices, params)
    least = _MIN_SLOPE / spacing
    step = -((fill - level) / np.maximum(np.einsum("vr,vr->v", slope, slope), least**2))[:, None] * slope
    length = np.linalg.norm(step, axis=1, keepdims=True)
    moved = vertices + step * np.minimum(1.0, 0.5 * cell / np.maximum(length, 0.5 * cell))
    normals = -_core.surface_fill(x, moved, params)[1]
    size = np.linalg.norm(normals, axis=1, keepdims=True)
    return moved, np.where(size > least, normals / np.maximum(size, least), [0.0, 0.0, 1.0])
