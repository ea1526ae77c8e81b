# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Binary silhouettes of particles in a fixed set of views."""

from __future__ import annotations

import numpy as np

from .. import _core
from .._arrays import Array

RESOLUTION = 128
"""Pixels along each side of a silhouette."""
AZIMUTHS = 8
"""Number of directions around the z axis, evenly spaced from 0."""
ELEVATIONS: tuple[float, ...] = (0.0, 0.5, -0.5)
"""Elevations [rad] of the views."""
EXTENT_FACTOR = 1.15
"""Half width of the image, in multiples of the largest distance of the target from its mean."""


def views() -> Array:
    """Return the orthonormal image axes (right, up) of the views, shape (24, 2, 3); z is up."""
    axes = []
    for elevation in ELEVATIONS:
        for azimuth in 2.0 * np.pi * np.arange(AZIMUTHS) / AZIMUTHS:
            right = [-np.sin(azimuth), np.cos(azimuth), 0.0]
            up = [-np.sin(elevation) * np.cos(azimuth), -np.sin(elevation) * np.sin(azimuth), np.cos(elevation)]
            axes.append([right, up])
    return np.array(axes)


def silhouettes(x: Array, center: Array, extent: float) -> Array:
    """Return the silhouettes of particles in all views, shape (24, 128, 128), bool.

    Orthographic. Each particle covers 3 x 3 pixels. Particles outside the image are clipped.

    Args:
        x: Positions [m], shape (N, 3).
        center: Centre of the images [m], shape (3,).
        extent: Half width of the images [m].
    """
    points = np.ascontiguousarray(x, dtype=np.float64)
    middle = (float(center[0]), float(center[1]), float(center[2]))
    return _core.silhouettes(points, middle, extent, views(), RESOLUTION).view(bool)


def intersection_over_union(a: Array, b: Array) -> float:
    """Return the mean of |a and b| / |a or b| over the views; 1 for a view in which both are empty."""
    both = (a & b).sum(axis=(1, 2))
    either = (a | b).sum(axis=(1, 2))
    return float(np.where(either > 0, both / np.maximum(either, 1), 1.0).mean())


def hole_fraction(pictures: Array) -> float:
    """Return the mean of (filled silhouette - silhouette) / filled silhouette over the views.

    A hole is a background region that does not touch the image border. A torus has a legitimate one.
    """
    marked = np.ascontiguousarray(pictures, dtype=bool)
    filled = _core.filled_pixels(marked.view(np.uint8)).astype(np.float64)
    holes = filled - marked.sum(axis=(1, 2))
    return float(np.mean(np.divide(holes, filled, out=np.zeros_like(holes), where=filled > 0)))
