# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Views of a target: cameras with the images that they should see, and the solid that fits into all silhouettes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._arrays import Array, as_array
from ..errors import ConfigError
from ..geometry import Mesh
from ..render import Camera

HULL_CELLS = 96
"""Cells of the visual hull along its longest edge."""

SEARCH_CELLS = 32
"""Cells along each edge of the box in which the hull is searched for."""

SEARCH_ROUNDS = 8
"""Largest number of times that the box is cut down to what the silhouettes leave of it."""

INSIDE = 0.5
"""Opacity above which a point of an image belongs to the silhouette."""

SMALLEST_PIECE = 0.01
"""Share of the hull's volume below which a separate piece is dropped: a gap that no view could look into."""

PARALLEL_VIEWS = 1e-3
"""Smallest eigenvalue, per camera, of the sum of projections across the views that counts as different directions."""


@dataclass(frozen=True, eq=False)
class Views:
    """C cameras and what they see of a shape: photographs cut out to silhouettes, or renderings.

    Raises:
        ConfigError: If a shape or value does not fit, or a view is empty.
    """

    cameras: Sequence[Camera]
    """Cameras of one size, in the target's units and place."""
    alpha: Array
    """Silhouettes in [0, 1], shape (C, H, W), bool, float32 or float64; kept as float32. The shape is whole in each."""
    depth: Array | None = None
    """Expected depths [target's unit], shape (C, H, W), used where the silhouette is."""
    normals: Array | None = None
    """Normal maps in world axes times the silhouette, shape (C, H, W, 3): what colour losses compare."""

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
        for name, tail in (("depth", ()), ("normals", (3,))):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, as_array(value, name, (*shape, *tail)).astype(np.float32))

    def canonical(self, scale: float, center: Array) -> Views:
        """Return the same images seen by cameras around the shape moved by -center and then scaled."""
        cameras = []
        for camera in self.cameras:
            viewmat = camera.viewmat.copy()
            viewmat[:3, 3] = scale * (viewmat[:3, :3] @ center + viewmat[:3, 3])
            cameras.append(Camera(viewmat, camera.K, camera.width, camera.height, camera.name))
        return replace(self, cameras=cameras, depth=None if self.depth is None else self.depth * np.float32(scale))

    def hull(self) -> Mesh:
        """Return the visual hull: the largest solid whose silhouettes lie within all of the views.

        Raises:
            ConfigError: If all cameras look along one line, or nothing fits into all silhouettes.

        References:
            Laurentini 1994, The visual hull concept for silhouette-based image understanding.
        """
        from scipy import ndimage

        low, high = self._box()
        cell = float((high - low).max()) / HULL_CELLS
        dims = np.maximum(np.ceil((high - low) / cell).astype(int), 1)
        inside = self._inside(low, cell, dims)
        labels, count = ndimage.label(inside)
        if count == 0:
            raise _nothing_fits()
        sizes = np.bincount(labels.ravel())[1:]
        kept = np.flatnonzero(sizes >= SMALLEST_PIECE * sizes.sum()) + 1
        vertices, triangles = _faces(np.isin(labels, kept))
        return Mesh(np.ascontiguousarray(vertices * cell + low), triangles, name="views")

    def _box(self) -> tuple[Array, Array]:
        """Return the corners of a box around everything that may belong to the hull."""
        from scipy import ndimage

        places = np.stack([c.position for c in self.cameras])
        axes = np.stack([c.viewmat[2, :3] for c in self.cameras])
        across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
        total = across.sum(axis=0)
        if np.linalg.eigvalsh(total)[0] < PARALLEL_VIEWS * len(places):
            raise ConfigError("cameras: expected views from different directions, got parallel ones; add side views")
        center = np.linalg.solve(total, np.einsum("cij,cj->i", across, places))
        reach = float(np.linalg.norm(places - center, axis=1).max())
        low, high = center - reach, center + reach
        distances = [ndimage.distance_transform_edt(a <= INSIDE) for a in self.alpha]
        for _ in range(SEARCH_ROUNDS):
            cell = (high - low) / SEARCH_CELLS
            grid = np.stack(np.meshgrid(*(np.arange(SEARCH_CELLS) + 0.5,) * 3, indexing="ij"), axis=-1).reshape(-1, 3)
            grid = low + grid * cell
            grid = grid[self._near(grid, distances, 0.5 * float(np.linalg.norm(cell)))]
            if len(grid) == 0:
                raise _nothing_fits()
            before, low, high = high - low, grid.min(axis=0) - 1.5 * cell, grid.max(axis=0) + 1.5 * cell
            if np.all(high - low > 0.9 * before):
                break
        return low, high

    def _near(self, points: Array, distances: list[Array], radius: float) -> Array:
        """Return which balls of a radius may reach into all silhouettes."""
        from scipy import ndimage

        kept = np.ones(len(points), dtype=bool)
        for camera, distance in zip(self.cameras, distances, strict=True):
            pixels, depth = camera.project(points)
            ahead = np.maximum(depth - radius, 1e-9)
            slack = 2.0 + float(max(camera.K[0, 0], camera.K[1, 1])) * 2.0 * radius / ahead  # also off the axis
            reach = ndimage.map_coordinates(
                distance, np.nan_to_num(pixels[:, ::-1].T - 0.5, posinf=-1e6, neginf=-1e6), order=0, mode="nearest"
            )
            size = np.array([camera.width, camera.height])
            beyond = np.maximum(np.maximum(-pixels, pixels - size).max(axis=1), 0.0)
            kept &= (depth > -radius) & ((depth <= radius) | (np.maximum(reach, beyond) <= slack))
        return kept

    def _inside(self, low: Array, cell: float, dims: Array) -> Array:
        """Return which cells have their middle in all silhouettes, shape `dims`."""
        from scipy import ndimage

        grid = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in dims), indexing="ij"), axis=-1).reshape(-1, 3)
        grid = low + grid * cell
        left = np.arange(len(grid))
        for camera, alpha in zip(self.cameras, self.alpha, strict=True):
            pixels, depth = camera.project(grid[left])
            seen = ndimage.map_coordinates(alpha, pixels[:, ::-1].T - 0.5, order=1, mode="constant")
            left = left[(depth > 0.0) & (seen > INSIDE)]
        inside = np.zeros(len(grid), dtype=bool)
        inside[left] = True
        return inside.reshape(tuple(dims))


def _nothing_fits() -> ConfigError:
    return ConfigError(
        "alpha: expected silhouettes of one shape, got none that fits into all of them; check the cameras' poses"
    )


def _faces(inside: Array) -> tuple[Array, Array]:
    """Return vertices, in cells, and outward triangles of the border of a set of cells."""
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
