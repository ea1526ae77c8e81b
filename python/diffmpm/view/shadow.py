# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Soft shadow of Gaussians on a floor."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .._arrays import Array
from ..export import Splats
from ..render import Camera
from .body import KEY, light_axes

TEXELS = 160
"""Texels of the shadow along the longer side of the body."""
LAYERS = 6
"""Slices of the body by height: the higher one is, the softer its shadow."""
SOFTNESS = 0.22
"""Standard deviation of the blur over the height above the floor."""
STEEPER = 0.9
"""Added to the height of the main light, so that the shadow stays near the body."""
DARKEST = 0.34
"""Share of the light that the shadow takes at most."""
_SHARPEST, _TRUNCATE = 1.5, 3.0
"""Least standard deviation of the blur [texels], and standard deviations that it reaches."""
_CORE = 2.2
"""Optical depth of one layer of Gaussians."""


def floor_shadow(splats: Splats, camera: Camera, up: Array, floor: float) -> Array:
    """Return how much light each pixel's point on the floor lacks, from 0 to 1, shape (H, W).

    The Gaussians fall along the main light onto the floor, as mass on a grid of texels; each slice by height is blurred
    by its distance from the floor, their optical depths add up. All of it is smooth in the places of the Gaussians.

    Args:
        splats: The body.
        camera: Camera; below the floor it sees no shadow.
        up: Unit vector that is up, shape (3,).
        floor: Height of the floor along `up` [m].
    """
    eye = camera.position
    if splats.count == 0 or eye @ up <= floor:
        return np.zeros((camera.height, camera.width))
    axes = light_axes(camera, up)
    light = np.array(KEY) + np.array([0.0, STEEPER, 0.0])
    x = splats.means.astype(np.float64) @ axes.T
    height = np.maximum(x[:, 1] - floor, 0.0)
    fallen = x[:, ::2] - height[:, None] * (light[::2] / light[1])
    low, high = fallen.min(axis=0), fallen.max(axis=0)
    side = max(float((high - low).max()), 1e-30)
    texel = side / TEXELS
    margin = _TRUNCATE * (_SHARPEST * texel + SOFTNESS * float(height.max()))  # where the blur runs out
    corner = low - margin
    counts = np.ceil((high - low + 2 * margin) / texel).astype(int) + 2
    area = np.pi * (splats.scales[:, 0] * splats.scales[:, 1]).astype(np.float64) / texel**2
    depth = _optical_depth((fallen - corner) / texel, height / texel, area, counts)
    pixels = _on_floor(camera, axes, eye, floor)
    at = (pixels - corner) / texel
    seen = ndimage.map_coordinates(depth, [at[..., 0], at[..., 1]], order=1, mode="constant")
    return np.asarray(DARKEST * (1.0 - np.exp(-seen)))


def _optical_depth(place: Array, height: Array, area: Array, counts: Array) -> Array:
    """Return the optical depth on the texels; lengths in texels."""
    top = max(float(height.max()), 1e-30)
    slice_of = height / top * (LAYERS - 1)
    below = np.minimum(slice_of.astype(int), LAYERS - 2)
    depth = np.zeros(counts)
    corner = np.floor(place).astype(int)
    part = place - corner
    for layer in range(LAYERS):
        share = np.where(below == layer, 1.0 - (slice_of - below), np.where(below == layer - 1, slice_of - below, 0.0))
        some = share > 0.0
        mass = np.zeros(counts)
        for a in (0, 1):
            for b in (0, 1):
                w = np.abs(1 - a - part[some, 0]) * np.abs(1 - b - part[some, 1]) * area[some] * share[some]
                np.add.at(mass, (corner[some, 0] + a, corner[some, 1] + b), w)
        depth += ndimage.gaussian_filter(mass, _SHARPEST + SOFTNESS * top * layer / (LAYERS - 1), truncate=_TRUNCATE)
    return 0.5 * _CORE * depth  # a ray crosses the surface of a closed body twice


def _on_floor(camera: Camera, axes: Array, eye: Array, floor: float) -> Array:
    """Return where each pixel's ray meets the floor, along right and depth [m], shape (H, W, 2); far off if nowhere."""
    rows, columns = np.mgrid[0 : camera.height, 0 : camera.width] + 0.5
    K = camera.K
    rays = np.stack([(columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1], np.ones_like(rows)], axis=-1)
    rays = rays @ camera.viewmat[:3, :3] @ axes.T
    start = axes @ eye
    with np.errstate(divide="ignore"):
        along = np.where(rays[..., 1] < 0.0, (floor - start[1]) / rays[..., 1], np.inf)
    met = start[::2] + np.where(np.isfinite(along), along, 0.0)[..., None] * rays[..., ::2]
    return np.asarray(np.where(np.isfinite(along)[..., None], met, 1e30))
