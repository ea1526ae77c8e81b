# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Perspective cameras that look at a point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._arrays import Array
from ..errors import ConfigError

_UP = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


@dataclass(frozen=True)
class Camera:
    """Perspective camera; image x to the right, y down, depth along the view direction."""

    eye: tuple[float, float, float]
    """Position [m]."""
    target: tuple[float, float, float]
    """Point in the middle of the image [m]."""
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)
    """Direction that is up in the image."""
    fov: float = 30.0
    """Vertical field of view [degrees]."""

    def axes(self) -> Array:
        """Return right, down and forward as rows, shape (3, 3)."""
        forward = np.asarray(self.target, np.float64) - np.asarray(self.eye, np.float64)
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, np.asarray(self.up, np.float64))
        length = float(np.linalg.norm(right))
        if length < 1e-9:
            raise ConfigError(f"up: expected a direction across the view, got {self.up}; choose another one")
        right /= length
        return np.stack([right, np.cross(forward, right), forward])

    def project(self, x: Array, size: int) -> tuple[Array, float]:
        """Return pixel position and depth of points, shape (N, 3), and the pixels of one metre at depth 1.

        Args:
            x: Points [m], shape (N, 3).
            size: Height and width of the image in pixels.
        """
        seen = (np.asarray(x, np.float64) - np.asarray(self.eye)) @ self.axes().T
        focal = 0.5 * size / np.tan(np.radians(self.fov) / 2.0)
        depth = np.maximum(seen[:, 2], 1e-9)
        return np.stack([focal * seen[:, 0] / depth + size / 2, focal * seen[:, 1] / depth + size / 2, depth], 1), focal


def up_vector(up: str) -> Array:
    """Return the unit vector of an axis name.

    Raises:
        ConfigError: If it is not "x", "y" or "z".
    """
    if up not in _UP:
        raise ConfigError(f"up: expected x, y or z, got {up!r}")
    return np.array(_UP[up])


def orbit(
    x: object,
    *,
    azimuth: float = 35.0,
    elevation: float = 18.0,
    up: str = "z",
    fov: float = 30.0,
    fill: float = 0.86,
) -> Camera:
    """Return a camera around points that sees all of them.

    Args:
        x: Points that have to fit into the image [m], shape (N, 3).
        azimuth: Angle around the up axis [degrees].
        elevation: Angle above the horizon [degrees], between -89 and 89.
        up: Axis that is up: "x", "y" or "z".
        fov: Field of view [degrees].
        fill: Share of the image that the points fill.

    Raises:
        ConfigError: If `up` is no axis.
    """
    points = np.asarray(x, np.float64)
    vertical = up_vector(up)
    side = np.roll(vertical, 1)
    depth = np.cross(vertical, side)
    center = 0.5 * (points.min(axis=0) + points.max(axis=0))
    radius = float(np.linalg.norm(points - center, axis=1).max()) / np.sin(np.radians(fov) / 2.0)
    theta, phi = np.radians(azimuth), np.radians(elevation)
    away = np.cos(phi) * (np.cos(theta) * side + np.sin(theta) * depth) + np.sin(phi) * vertical
    camera = _back_off(center, away, vertical, fov, radius)
    for _ in range(4):  # centre what is seen, then come as close as it fits
        pixel, _ = camera.project(points, 1)
        low, high = pixel[:, :2].min(axis=0), pixel[:, :2].max(axis=0)
        distance = float(np.linalg.norm(np.asarray(camera.eye) - center))
        shift = (0.5 * (low + high) - 0.5) * 2.0 * np.tan(np.radians(fov) / 2.0) * distance
        center = center + shift @ camera.axes()[:2]
        camera = _back_off(center, away, vertical, fov, distance * float((high - low).max()) / fill)
    return camera


def _back_off(center: Array, away: Array, vertical: Array, fov: float, distance: float) -> Camera:
    return Camera(_tuple(center + away * max(distance, 1e-12)), _tuple(center), _tuple(vertical), fov)


def _tuple(a: Array) -> tuple[float, float, float]:
    return float(a[0]), float(a[1]), float(a[2])
