# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Cameras that see all of a body."""

from __future__ import annotations

import numpy as np

from .._arrays import as_points
from .._placement import up_vector
from ..render import Camera


def orbit(
    x: object,
    *,
    size: int = 480,
    azimuth: float = 35.0,
    elevation: float = 18.0,
    up: str = "z",
    fov: float = 30.0,
    fill: float = 0.86,
) -> Camera:
    """Return a camera around points that sees all of them in a square image.

    Args:
        x: Points that have to fit into the image [m], shape (N, 3).
        size: Height and width of the image [px].
        azimuth: Angle around the up axis [degrees].
        elevation: Angle above the horizon [degrees], between -89 and 89.
        up: Axis that is up: "x", "y" or "z".
        fov: Field of view [degrees].
        fill: Share of the image that the points fill.

    Raises:
        ConfigError: If `up` is no axis, or a value does not fit.
    """
    points = as_points(x, "x").astype(np.float64)
    vertical = up_vector(up)
    side = np.roll(vertical, 1)
    depth = np.cross(vertical, side)
    center = 0.5 * (points.min(axis=0) + points.max(axis=0))
    radius = float(np.linalg.norm(points - center, axis=1).max()) / np.sin(np.radians(fov) / 2.0)
    theta, phi = np.radians(azimuth), np.radians(elevation)
    away = np.cos(phi) * (np.cos(theta) * side + np.sin(theta) * depth) + np.sin(phi) * vertical
    place, distance = center, max(radius, 1e-12)
    for _ in range(4):  # centre what is seen, then come as close as it fits
        camera = Camera.look_at(place + away * distance, place, vertical, width=size, height=size, fov=fov)
        pixel = camera.project(points)[0] / size
        low, high = pixel.min(axis=0), pixel.max(axis=0)
        shift = (0.5 * (low + high) - 0.5) * 2.0 * np.tan(np.radians(fov) / 2.0) * distance
        place = place + shift @ camera.viewmat[:2, :3]
        distance = max(distance * float((high - low).max()) / fill, 1e-12)
    return Camera.look_at(place + away * distance, place, vertical, width=size, height=size, fov=fov)
