# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The solid that a scene of Gaussians encloses."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from .. import _core
from .._arrays import Array
from .._color import linear_light
from .._options import Range, as_integer
from ..errors import MeshError
from ..export import Splats
from ..geometry import Appearance, Mesh, MeshLike, load_mesh
from ..surface import mesh
from .reading import is_scene, load_splats

_LOG = logging.getLogger("diffmpm")
_SHELL = 0.4
"""Density above which a grid node belongs to the shell that the Gaussians form."""
_GAPS = (3.0, 6.0, 12.0)
"""Radii of holes that are closed, in cells."""
_LEAK = 0.75
"""A fill has leaked if it has less than this fraction of the volume with larger holes closed."""
_LEAST = 0.01
"""Least fraction of the filled nodes that lie inside the shell."""
_NEAR = 6.0
"""Depth up to which centres are on the surface, not inside, in cells."""
_BLENDED = 8
"""Number of Gaussians whose colours a vertex has."""
_UP = {".spz": "y"}
"""Up axis by suffix, where the format defines it."""
_ISOLATED = 4.0
"""A Gaussian whose 8 nearest neighbours are on average this much farther than the median is a floater."""


def solid(splats: Splats, *, cells: int = 128, name: str = "splats", up: str | None = None) -> Mesh:
    """Return the solid that Gaussians enclose, as a closed mesh.

    The opacities are summed on a grid. Where the sum is high is the shell. Holes of 6 cells are closed, and larger
    ones, of up to 24, if the volume would leak out otherwise. The solid is what cannot be reached from outside, reduced
    by the thickness of the shell outside of the centres.

    Args:
        splats: Gaussians on the surface of a body.
        cells: Number of grid cells along the longest side, 16 to 512.
        name: Name for messages.
        up: Up axis of the scene, "x", "y" or "z", if known.

    Raises:
        ConfigError: If `cells` is out of range.
        MeshError: If the Gaussians enclose nothing.
    """
    from scipy import ndimage

    cells = as_integer(cells, "cells", Range(least=16, most=512))
    kept = without_floaters(splats, name)
    x = kept.means.astype(np.float64)
    low, high = x.min(axis=0), x.max(axis=0)
    spacing = float((high - low).max()) / cells
    if not spacing > 0.0:
        raise MeshError(f"{name}: expected Gaussians that enclose a volume, got all in one point")
    border = int(_GAPS[-1]) + 4
    origin = low - border * spacing
    dims = tuple(int(n) for n in np.ceil((high - low) / spacing) + 2 * border + 1)
    covars = kept.covariances().astype(np.float64) + (0.5 * spacing) ** 2 * np.eye(3)  # no disc lies between nodes
    density = _core.opacity_density(x, covars, kept.opacities.astype(np.float64), tuple(origin), spacing, dims)
    filled = _filled(density > _SHELL)
    if (filled & (density <= _SHELL)).sum() < _LEAST * filled.sum():
        raise MeshError(
            f"{name}: expected Gaussians that enclose a volume, got an empty fill; fewer than {cells} cells "
            "close larger holes"
        )
    depth = ndimage.distance_transform_edt(filled) - ndimage.distance_transform_edt(~filled)
    at_means = ndimage.map_coordinates(depth, ((x - origin) / spacing).T, order=1)
    near = at_means < _NEAR
    offset = float(np.median(at_means[near])) if near.any() else 0.0
    points = _points(depth - offset, origin, spacing)
    if len(points) == 0:
        raise MeshError(f"{name}: expected Gaussians that enclose a volume, got a shell thinner than a cell")
    surface = mesh(points)
    return Mesh(surface.vertices, surface.triangles, name, up, Appearance(_colors(kept, surface.vertices)))


def load_shape(source: MeshLike) -> Mesh:
    """Load a mesh like `diffmpm.load_mesh`, or the solid of a scene of Gaussians with its colours.

    Args:
        source: As for `diffmpm.load_mesh`, or the path of a file for which `is_scene` is true.

    Raises:
        MeshError: If the file cannot be read or the Gaussians enclose nothing.
        ConfigError: If `source` has another type.
    """
    if isinstance(source, str | os.PathLike) and is_scene(source):
        path = Path(source)
        return solid(load_splats(path), name=path.name, up=_UP.get(path.suffix.lower()))
    return load_mesh(source)


def without_floaters(splats: Splats, name: str = "splats") -> Splats:
    """Return the Gaussians without isolated ones, and log how many there were.

    A Gaussian is isolated if its 8 nearest neighbours are on average more than 4 times as far as is usual.
    """
    from scipy.spatial import cKDTree

    if splats.count < 10:
        return splats
    distances = cKDTree(splats.means).query(splats.means, k=9)[0][:, 1:].mean(axis=1)
    isolated = distances > _ISOLATED * np.median(distances)
    if isolated.any():
        _LOG.info("%s: %d of %d Gaussians left out as floaters", name, int(isolated.sum()), splats.count)
    return splats[~isolated]


def _filled(shell: Array) -> Array:
    """Return the shell and what it encloses once its holes are closed."""
    from scipy import ndimage

    distance = ndimage.distance_transform_edt(~shell)
    fills = [_enclosed(shell, distance, gap) for gap in _GAPS]
    volumes = [int(fill.sum()) for fill in fills]
    return next(fill for fill, volume in zip(fills, volumes, strict=True) if volume >= _LEAK * volumes[-1])


def _enclosed(shell: Array, distance: Array, gap: float) -> Array:
    from scipy import ndimage

    outside = ndimage.binary_propagation(_border(shell.shape), mask=distance > gap)
    return np.asarray(shell | (ndimage.distance_transform_edt(~outside) > gap + 0.5))


def _colors(splats: Splats, points: Array) -> Array:
    """Return the colours around points in linear light, weighted by opacity, shape (N, 3)."""
    from scipy.spatial import cKDTree

    near = cKDTree(splats.means).query(points, k=min(_BLENDED, splats.count))[1].reshape(len(points), -1)
    weights = splats.opacities[near]
    colors = linear_light(np.clip(splats.colors, 0.0, 1.0))[near]
    blended = np.einsum("nk,nkc->nc", weights, colors) / weights.sum(axis=1, keepdims=True)
    return np.asarray(blended.astype(np.float32))


def _border(shape: tuple[int, ...]) -> Array:
    border = np.ones(shape, bool)
    border[1:-1, 1:-1, 1:-1] = False
    return border


def _points(depth: Array, origin: Array, spacing: float) -> Array:
    """Return one random point per cell where the depth is positive."""
    from scipy import ndimage

    cell = np.stack(np.meshgrid(*(np.arange(n - 1) for n in depth.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    inner = cell[depth[tuple(cell.T)] > -2.0]
    at = inner + np.random.default_rng(0).random(inner.shape)
    inside = ndimage.map_coordinates(depth, at.T, order=1) > 0.0
    return np.asarray(origin + spacing * at[inside])
