# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Cameras that keep a whole body in view."""

from __future__ import annotations

import numpy as np

from .._arrays import as_points
from .._placement import turn, up_vector
from ..render import Camera


def orbit(
    x: object,
    *,
    size: int | tuple[int, int] = 480,
    azimuth: float = -60.0,
    elevation: float = 15.0,
    up: str = "z",
    fov: float = 30.0,
    fill: float = 0.86,
) -> Camera:
    """Return a camera on a sphere around points that keeps all of them in the image.

    Args:
        x: Points to fit into the image [m], shape (N, 3).
        size: Height and width of the image [px], or a pair of width and height.
        azimuth: Angle around the up axis [degrees]. If z is up, 0 is in direction x and -90 in direction -y, the front.
            If y is up, as in glTF, the front is in direction z.
        elevation: Angle above the horizon [degrees], between -89 and 89.
        up: Axis that is up: "x", "y" or "z".
        fov: Vertical field of view [degrees].
        fill: Fraction of the height or width of the image that the points fill, whichever limits.

    Raises:
        ConfigError: If `up` is not an axis, or a value does not fit.
    """
    points = as_points(x, "x").astype(np.float64)
    vertical = up_vector(up)
    side, depth = turn("z", up).matrix.T[:2]
    width, height = (size, size) if isinstance(size, int | np.integer) else size
    target = 0.5 * (points.min(axis=0) + points.max(axis=0))
    distance = float(np.linalg.norm(points - target, axis=1).max()) / np.sin(np.radians(fov) / 2.0)
    distance = max(distance, 1e-12)
    theta, phi = np.radians(azimuth), np.radians(elevation)
    away = np.cos(phi) * (np.cos(theta) * side + np.sin(theta) * depth) + np.sin(phi) * vertical
    for _ in range(4):  # centre the projected points, then move as close as possible
        camera = Camera.look_at(target + away * distance, target, vertical, width=width, height=height, fov=fov)
        pixel = camera.project(points)[0] / (width, height)
        low, high = pixel.min(axis=0), pixel.max(axis=0)
        shift = (0.5 * (low + high) - 0.5) * (width / height, 1.0) * 2.0 * np.tan(np.radians(fov) / 2.0) * distance
        target = target + shift @ camera.viewmat[:2, :3]
        distance = max(distance * float((high - low).max()) / fill, 1e-12)
    return Camera.look_at(target + away * distance, target, vertical, width=width, height=height, fov=fov)
