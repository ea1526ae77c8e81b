# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Soft shadow of Gaussians on a floor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .._arrays import Array
from ..export import Splats
from ..render import Camera
from .studio import KEY, light_axes, spread

SLICES = 5
"""Slices of the body by height: the higher a slice, the softer its shadow."""
STEEPER = 1.6
"""Added to the height of the key light to keep the shadow near the body."""
FADE, EXPONENT = 0.4, 3.0
"""Fraction of the way from the centre of the image to its border over which the shadow fades, and the exponent of the
norm of that way, which rounds the corners."""
_SHARPEST, _TRUNCATE = 0.9, 2.5
"""Smallest standard deviation of the blur [texels], and its reach in standard deviations."""
_MOST_SPLATS = 10_000
"""Most Gaussians that the shadow is made from; those of a body are in the order of its surface, so a subset is even."""
_CORE = 2.2
"""Optical depth of one layer of Gaussians."""


@dataclass(frozen=True)
class _Light:
    """A light that a body keeps from the floor."""

    slope: tuple[float, float]
    """Motion of the shadow to the right and towards the camera per height."""
    softness: float
    """Standard deviation of the blur over the height above the floor."""
    texels: int
    """Texels along the longer side of the shadow."""
    darkest: float
    """Largest fraction of light that the shadow removes."""
    density: float
    """Factor of the optical depth."""


_LIGHTS = (
    _Light((-KEY[0] / (KEY[1] + STEEPER), -KEY[2] / (KEY[1] + STEEPER)), 0.2, 64, 0.22, 1.0),
    _Light((0.0, 0.0), 0.45, 24, 0.32, 0.45),
)
"""The key light, and the sky, whose shadow is darkest where the body touches the floor."""


def floor_shadow(splats: Splats, camera: Camera, up: Array, floor: float) -> Array:
    """Return the fraction of light that the floor behind each pixel lacks, shape (H, W).

    The Gaussians are projected along each light onto a grid of texels on the floor. Each slice by height is blurred in
    proportion to its height, and the optical depths of the slices add up. The shadow is a smooth function of the means.

    Args:
        splats: The body.
        camera: Camera. From below the floor it sees no shadow.
        up: Unit vector that is up, shape (3,).
        floor: Height of the floor along `up` [m].
    """
    from scipy import ndimage

    eye = camera.position
    if splats.count == 0 or eye @ up <= floor:
        return np.zeros((camera.height, camera.width))
    axes = light_axes(camera, up)
    step = -(-splats.count // _MOST_SPLATS)
    x = splats.means[::step].astype(np.float64) @ axes.T
    height = np.maximum(x[:, 1] - floor, 0.0)
    area = step * np.pi * (splats.scales[::step, 0] * splats.scales[::step, 1]).astype(np.float64)
    coarse = next(n for n in (4, 2, 1) if camera.width % n == 0 and camera.height % n == 0)  # the shadow is soft
    sight = camera.resized(camera.width // coarse, camera.height // coarse)
    points = _floor_points(sight, axes, eye, floor)
    light = np.ones(points.shape[:2])
    for source in _LIGHTS:
        projected = x[:, ::2] + height[:, None] * source.slope
        low, high = projected.min(axis=0), projected.max(axis=0)
        texel = max(float((high - low).max()), 1e-30) / source.texels
        margin = _TRUNCATE * (_SHARPEST * texel + source.softness * float(height.max()))  # reach of the blur
        corner = low - margin
        counts = np.ceil((high - low + 2 * margin) / texel).astype(int) + 2
        depth = _optical_depth((projected - corner) / texel, height / texel, area / texel**2, counts, source.softness)
        at = (points - corner) / texel
        sampled = ndimage.map_coordinates(depth, [at[..., 0], at[..., 1]], order=1, mode="constant")
        light *= 1.0 - source.darkest * (1.0 - np.exp(-source.density * sampled))
    dark = (1.0 - light).astype(np.float32)
    if coarse > 1:
        dark = ndimage.zoom(dark, coarse, order=1, mode="nearest", grid_mode=True)
    return np.asarray(dark * _fade(camera.width, camera.height))


@lru_cache(maxsize=8)
def _fade(width: int, height: int) -> Array:
    """Return factors for the pixels, shape (height, width): 1 around the centre, 0 at the borders of the image."""
    x, y = (np.abs(2.0 * np.arange(size) + 1.0 - size) / (size - 1.0) for size in (width, height))
    way = (x[None, :] ** EXPONENT + y[:, None] ** EXPONENT) ** (1.0 / EXPONENT)
    t = np.clip((1.0 - way) / FADE, 0.0, 1.0)
    return np.asarray((t * t * (3.0 - 2.0 * t)).astype(np.float32))


def _optical_depth(position: Array, height: Array, area: Array, counts: Array, softness: float) -> Array:
    """Return the optical depth of each texel; lengths are in texels."""
    from scipy import ndimage

    top = max(float(height.max()), 1e-30)
    level = height / top * (SLICES - 1)
    slices = spread(np.column_stack([level, position]), area, np.array([SLICES, *counts])).astype(np.float32)
    depth = np.zeros(counts, np.float32)
    for k, slice_ in enumerate(slices):
        depth += ndimage.gaussian_filter(slice_, _SHARPEST + softness * top * k / (SLICES - 1), truncate=_TRUNCATE)
    return np.asarray(0.5 * _CORE * depth)  # a ray crosses the surface of a closed body twice


def _floor_points(camera: Camera, axes: Array, eye: Array, floor: float) -> Array:
    """Return where each pixel's ray meets the floor, right and depth [m], shape (H, W, 2); 1e30 if it does not."""
    rows, columns = np.mgrid[0 : camera.height, 0 : camera.width] + 0.5
    K = camera.K
    rays = np.stack([(columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1], np.ones_like(rows)], axis=-1)
    rays = rays @ camera.viewmat[:3, :3] @ axes.T
    start = axes @ eye
    with np.errstate(divide="ignore"):
        along = np.where(rays[..., 1] < 0.0, (floor - start[1]) / rays[..., 1], np.inf)
    hits = np.isfinite(along)[..., None]
    points = start[::2] + np.where(hits, along[..., None], 0.0) * rays[..., ::2]
    return np.asarray(np.where(hits, points, 1e30))
