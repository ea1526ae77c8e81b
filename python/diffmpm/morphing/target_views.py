# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Target views: cameras with images of the target, and the visual hull of their silhouettes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._arrays import Array, as_array
from .._repr import pictured, short_repr
from ..errors import ConfigError
from ..geometry import Mesh
from ..render import Camera

HULL_CELLS = 96
"""Cells of the visual hull along its longest edge."""

SEARCH_CELLS = 32
"""Cells along each edge of the box that is searched for the hull."""

SEARCH_ROUNDS = 8
"""Largest number of times that the box is reduced."""

INSIDE = 0.5
"""Opacity above which a point of an image belongs to the silhouette."""

SMALLEST_PIECE = 0.01
"""Fraction of the hull's volume below which a separate piece is dropped: a gap that no view shows."""

PARALLEL_VIEWS = 1e-3
"""Views are parallel if the sum of the projections onto their image planes has a smaller eigenvalue per camera."""


@pictured("silhouettes")
@short_repr
@dataclass(frozen=True, eq=False)
class TargetViews:
    """C cameras and their images of a shape: photographs with the background removed, or renderings.

    Raises:
        ConfigError: If a shape or value is invalid, or a view is empty.
    """

    cameras: Sequence[Camera]
    """Cameras of equal size, in the units and coordinates of the target."""
    alpha: Array
    """Silhouettes of the whole shape in [0, 1], shape (C, H, W), bool, float32 or float64; stored as float32."""
    depth: Array | None = None
    """Expected depths [unit of the target], shape (C, H, W), used inside the silhouette."""
    normals: Array | None = None
    """Normals in world axes times the silhouette, shape (C, H, W, 3), for `Normals` and other losses."""
    color: Array | None = None
    """Colours in linear light, in [0, 1], times the silhouette, shape (C, H, W, 3), for `Color` and other losses."""

    def __post_init__(self) -> None:
        cameras = tuple(self.cameras)
        if not cameras or not all(isinstance(c, Camera) for c in cameras):
            raise ConfigError(f"cameras: expected at least one Camera, got {self.cameras!r}")
        sizes = {(c.height, c.width) for c in cameras}
        if len(sizes) > 1:
            raise ConfigError(f"cameras: expected one size, got {sorted(sizes)}; use Camera.resized and scaled images")
        shape = (len(cameras), *sizes.pop())
        alpha = as_array(self.alpha, "alpha", shape)
        if alpha.min() < 0.0 or alpha.max() > 1.0:
            raise ConfigError(
                f"alpha: expected values in [0, 1], got {alpha.min():g} to {alpha.max():g}; divide by 255"
            )
        empty = np.flatnonzero(~(alpha > INSIDE).any(axis=(1, 2)))
        if empty.size:
            raise ConfigError(f"alpha: expected a silhouette in every view, got an empty one in view {empty[0]}")
        object.__setattr__(self, "cameras", cameras)
        object.__setattr__(self, "alpha", alpha.astype(np.float32))
        for name, tail in (("depth", ()), ("normals", (3,)), ("color", (3,))):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, as_array(value, name, (*shape, *tail)).astype(np.float32))

    def canonical(self, scale: float, center: Array) -> TargetViews:
        """Return the images with cameras for the shape translated by -center and then scaled."""
        cameras = []
        for camera in self.cameras:
            viewmat = camera.viewmat.copy()
            viewmat[:3, 3] = scale * (viewmat[:3, :3] @ center + viewmat[:3, 3])
            cameras.append(Camera(viewmat, camera.K, camera.width, camera.height, camera.name))
        return replace(self, cameras=cameras, depth=None if self.depth is None else self.depth * np.float32(scale))

    def hull(self) -> Mesh:
        """Return the visual hull: the largest solid whose silhouettes lie within those of all views.

        Raises:
            ConfigError: If all cameras look along one line, or no solid fits into all silhouettes.

        References:
            Laurentini 1994, The visual hull concept for silhouette-based image understanding.
        """
        from scipy import ndimage

        low, high = self._box()
        cell = float((high - low).max()) / HULL_CELLS
        counts = np.maximum(np.ceil((high - low) / cell).astype(int), 1)
        inside = self._inside(_centers(low, cell, counts)).reshape(tuple(counts))
        labels, count = ndimage.label(inside)
        if count == 0:
            raise _nothing_fits()
        sizes = np.bincount(labels.ravel())[1:]
        pieces = np.flatnonzero(sizes >= SMALLEST_PIECE * sizes.sum()) + 1
        vertices, triangles = _faces(np.isin(labels, pieces))
        return Mesh(np.ascontiguousarray(vertices * cell + low), triangles, name="views")

    def _box(self) -> tuple[Array, Array]:
        """Return the corners of a box that contains the hull."""
        from scipy import ndimage

        positions = np.stack([c.position for c in self.cameras])
        axes = np.stack([c.viewmat[2, :3] for c in self.cameras])
        across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
        total = across.sum(axis=0)
        if np.linalg.eigvalsh(total)[0] < PARALLEL_VIEWS * len(positions):
            raise ConfigError("cameras: expected views from different directions, got parallel ones; add side views")
        center = np.linalg.solve(total, np.einsum("cij,cj->i", across, positions))
        reach = float(np.linalg.norm(positions - center, axis=1).max())
        low, high = center - reach, center + reach
        distances = [ndimage.distance_transform_edt(a <= INSIDE) for a in self.alpha]
        for _ in range(SEARCH_ROUNDS):
            cell = (high - low) / SEARCH_CELLS
            grid = _centers(low, cell, (SEARCH_CELLS,) * 3)
            grid = grid[self._near(grid, distances, 0.5 * float(np.linalg.norm(cell)))]
            if len(grid) == 0:
                raise _nothing_fits()
            before, low, high = high - low, grid.min(axis=0) - 1.5 * cell, grid.max(axis=0) + 1.5 * cell
            if np.all(high - low > 0.9 * before):
                break
        return low, high

    def _near(self, points: Array, distances: list[Array], radius: float) -> Array:
        """Return whether a ball around each point may overlap with all silhouettes."""
        from scipy import ndimage

        near = np.ones(len(points), dtype=bool)
        for camera, distance in zip(self.cameras, distances, strict=True):
            pixels, depth = camera.project(points)
            ahead = np.maximum(depth - radius, 1e-9)
            slack = 2.0 + float(max(camera.K[0, 0], camera.K[1, 1])) * 2.0 * radius / ahead  # also off the axis
            reach = ndimage.map_coordinates(
                distance, np.nan_to_num(pixels[:, ::-1].T - 0.5, posinf=-1e6, neginf=-1e6), order=0, mode="nearest"
            )
            size = np.array([camera.width, camera.height])
            beyond = np.maximum(np.maximum(-pixels, pixels - size).max(axis=1), 0.0)
            near &= (depth > -radius) & ((depth <= radius) | (np.maximum(reach, beyond) <= slack))
        return near

    def _inside(self, points: Array) -> Array:
        """Return whether each point lies in all silhouettes."""
        from scipy import ndimage

        left = np.arange(len(points))
        for camera, alpha in zip(self.cameras, self.alpha, strict=True):
            pixels, depth = camera.project(points[left])
            opacity = ndimage.map_coordinates(alpha, pixels[:, ::-1].T - 0.5, order=1, mode="constant")
            left = left[(depth > 0.0) & (opacity > INSIDE)]
        inside = np.zeros(len(points), dtype=bool)
        inside[left] = True
        return inside


def _nothing_fits() -> ConfigError:
    return ConfigError(
        "alpha: expected silhouettes of one shape, got none that fits into all of them; check the cameras' poses"
    )


def _centers(low: Array, cell: float | Array, counts: Sequence[int] | Array) -> Array:
    """Return the centres of the cells of a grid, shape (M, 3)."""
    grid = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in counts), indexing="ij"), axis=-1).reshape(-1, 3)
    return low + grid * cell


def _faces(inside: Array) -> tuple[Array, Array]:
    """Return vertices, in cells, and outward triangles of the boundary of a set of cells."""
    padded = np.pad(inside, 1)
    corners: list[Array] = []
    for axis in range(3):
        u, w = np.eye(3, dtype=np.int64)[[(axis + 1) % 3, (axis + 2) % 3]]
        for side in (0, 1):
            neighbour = np.roll(padded, 1 - 2 * side, axis=axis)
            cells = np.argwhere(padded & ~neighbour) - 1
            base = cells + side * np.eye(3, dtype=np.int64)[axis]
            ring = (base, base + u, base + u + w, base + w)
            corners.append(np.stack(ring if side else ring[::-1], axis=1))
    quads = np.concatenate(corners)
    strides = np.array(padded.shape, dtype=np.int64)
    keys = np.ravel_multi_index(tuple(quads.reshape(-1, 3).T), tuple(strides))
    unique, index = np.unique(keys, return_inverse=True)
    vertices = np.stack(np.unravel_index(unique, tuple(strides)), axis=1).astype(np.float64)
    index = index.reshape(-1, 4)
    return vertices, np.ascontiguousarray(np.concatenate([index[:, [0, 1, 2]], index[:, [0, 2, 3]]]), dtype=np.int32)
