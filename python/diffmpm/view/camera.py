# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Cameras that keep a whole body in view, and their path in a film."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._arrays import Array, as_points
from .._placement import turn, up_vector
from ..errors import ConfigError
from ..render import Camera
from .config import RenderConfig

FILL = 0.74
"""Largest fraction of the image size that a body fills in a film."""
_FITTED_POINTS = 100_000
"""Approximate number of points that the cameras of a film are fitted to."""
_FITTED_VIEWS = 12
"""Directions on the path of a camera in which a body must fit into the image."""


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
    width, height = (size, size) if isinstance(size, int | np.integer) else size
    target = 0.5 * (points.min(axis=0) + points.max(axis=0))
    distance = float(np.linalg.norm(points - target, axis=1).max()) / np.sin(np.radians(fov) / 2.0)
    distance = max(distance, 1e-12)
    away = direction(azimuth, elevation, up)
    for _ in range(4):  # centre the projected points, then move as close as possible
        camera = Camera.look_at(target + away * distance, target, vertical, width=width, height=height, fov=fov)
        pixel = camera.project(points)[0] / (width, height)
        low, high = pixel.min(axis=0), pixel.max(axis=0)
        shift = (0.5 * (low + high) - 0.5) * (width / height, 1.0) * 2.0 * np.tan(np.radians(fov) / 2.0) * distance
        target = target + shift @ camera.viewmat[:2, :3]
        distance = max(distance * float((high - low).max()) / fill, 1e-12)
    return Camera.look_at(target + away * distance, target, vertical, width=width, height=height, fov=fov)


def direction(azimuth: float, elevation: float, up: str) -> Array:
    """Return the unit vector from a body towards a camera; the angles [degrees] are those of `orbit`."""
    side, depth = turn("z", up).matrix.T[:2]
    theta, phi = np.radians(azimuth), np.radians(elevation)
    return np.asarray(
        np.cos(phi) * (np.cos(theta) * side + np.sin(theta) * depth) + np.sin(phi) * up_vector(up), np.float64
    )


def film_cameras(
    paths: Sequence[Array], config: RenderConfig, times: Sequence[float] | None = None, length: float = 0.0
) -> list[Camera]:
    """Return the cameras of a film, which look at one point and keep the whole body in view.

    Args:
        paths: Positions in the frames of the film [m], shape (N, 3) each.
        config: Options.
        times: Times of the images [s]; one image per frame and second if None.
        length: Length of the film [s]; the number of frames without `times`.

    Returns:
        One camera per image. All have the same distance unless the keys of `config` change it.

    Raises:
        ConfigError: If a key lies after the end of the film.
    """
    if times is None:
        times, length = range(len(paths)), float(len(paths))
    check_path(config, length)
    step = max(1, sum(map(len, paths)) // _FITTED_POINTS)
    points = np.concatenate([x[::step] for x in paths])
    view = {"size": config.size, "up": config.axis, "fov": config.fov, "fill": FILL}
    angles = {"azimuth": config.azimuth, "elevation": config.elevation}
    if config.turns == 0.0 and not config.camera:
        return [orbit(points, **angles, **view)] * len(times)  # type: ignore[arg-type]
    at = np.array(times, np.float64)
    azimuths, elevations, distances = _path(config, at)
    azimuths = azimuths + 360.0 * config.turns * at / max(length, 1e-30)
    center = 0.5 * (points.min(axis=0) + points.max(axis=0)).astype(np.float64)
    fitted = np.unique(np.linspace(0, len(at) - 1, _FITTED_VIEWS).round().astype(int))
    eyes = [
        orbit(points, azimuth=azimuths[k], elevation=elevations[k], **view).position  # type: ignore[arg-type]
        for k in fitted
    ]
    distance = max(float(np.linalg.norm(eye - center)) for eye in eyes)
    width, height = config.image_size
    cameras = []
    for azimuth, elevation, ratio in zip(azimuths, elevations, distances, strict=True):
        eye = center + ratio * distance * direction(azimuth, elevation, config.axis)
        cameras.append(Camera.look_at(eye, center, up_vector(config.axis), width=width, height=height, fov=config.fov))
    return cameras


def check_path(config: RenderConfig, length: float) -> None:
    """Refuse a camera path that goes on after the end of a film [s]."""
    if config.camera and config.camera[-1].time > length + 1e-6:
        raise ConfigError(
            f"camera: expected times up to {length:.3g} s, the length of the film, got {config.camera[-1].time:g} s; "
            "change the times of the keys or lengthen the film (--duration)"
        )


def _path(config: RenderConfig, times: Array) -> tuple[Array, Array, Array]:
    """Return azimuth, elevation and relative distance at some times, from the keys of the configuration.

    References:
        Fritsch and Carlson 1980, Monotone piecewise cubic interpolation.
    """
    from scipy.interpolate import PchipInterpolator

    own = {"azimuth": config.azimuth, "elevation": config.elevation}
    rows = [
        [own[name] if getattr(key, name) is None else getattr(key, name) for name in own] + [key.distance]
        for key in config.camera
    ] or [[*own.values(), 1.0]]
    if len(rows) == 1:
        return tuple(np.full(len(times), value) for value in rows[0])  # type: ignore[return-value]
    keys = np.array([key.time for key in config.camera])
    path = PchipInterpolator(keys, np.array(rows))(np.clip(times, keys[0], keys[-1]))
    return path[:, 0], path[:, 1], path[:, 2]
