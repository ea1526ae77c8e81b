# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Binary silhouettes of particles from a fixed set of views."""

from __future__ import annotations

import numpy as np

from .. import _core
from .._arrays import Array

RESOLUTION = 128
"""Pixels along each side of a silhouette."""
AZIMUTHS = 8
"""Directions around the z axis, evenly spaced from 0."""
ELEVATIONS: tuple[float, ...] = (0.0, 0.5, -0.5)
"""Heights [rad] of the view above the horizon."""
EXTENT_FACTOR = 1.15
"""Half the width of the picture, in largest radii of the target about its mean."""


def views() -> Array:
    """Return the picture axes of the views, shape (24, 2, 3): to the right and up, orthonormal; z is up."""
    axes = []
    for elevation in ELEVATIONS:
        for azimuth in 2.0 * np.pi * np.arange(AZIMUTHS) / AZIMUTHS:
            right = [-np.sin(azimuth), np.cos(azimuth), 0.0]
            up = [-np.sin(elevation) * np.cos(azimuth), -np.sin(elevation) * np.sin(azimuth), np.cos(elevation)]
            axes.append([right, up])
    return np.array(axes)


def silhouettes(x: Array, center: Array, extent: float) -> Array:
    """Return the silhouettes of particles in all views, shape (24, 128, 128), bool.

    Orthographic; every particle covers the 3 x 3 pixels about its own. Particles outside the picture are cut off.

    Args:
        x: Positions [m], shape (N, 3).
        center: Middle of the pictures [m], shape (3,).
        extent: Half width of the pictures [m].
    """
    points = np.ascontiguousarray(x, dtype=np.float64)
    middle = (float(center[0]), float(center[1]), float(center[2]))
    return _core.silhouettes(points, middle, extent, views(), RESOLUTION).view(bool)


def intersection_over_union(a: Array, b: Array) -> float:
    """Return the mean over the views of |a and b| / |a or b|; 1 where both are empty."""
    both = (a & b).sum(axis=(1, 2))
    either = (a | b).sum(axis=(1, 2))
    return float(np.where(either > 0, both / np.maximum(either, 1), 1.0).mean())


def hole_fraction(pictures: Array) -> float:
    """Return the mean over the views of (filled silhouette - silhouette) / filled silhouette.

    A hole is a background region that does not reach the picture's edge; a torus has one that belongs there.
    """
    marked = np.ascontiguousarray(pictures, dtype=bool)
    filled = _core.filled_pixels(marked.view(np.uint8)).astype(np.float64)
    holes = filled - marked.sum(axis=(1, 2))
    return float(np.mean(np.divide(holes, filled, out=np.zeros_like(holes), where=filled > 0)))
