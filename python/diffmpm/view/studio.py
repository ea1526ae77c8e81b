# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Light of a photo studio: soft key, fill and rim light, sky and floor, occlusion by the body, and tone mapping.

Vectors are in stage axes: right, up, and horizontally towards the camera. Light and colours are linear.
"""

from __future__ import annotations

import numpy as np

from .._arrays import Array
from .._color import display_color, linear_light
from ..render import Camera

KEY = np.array([-0.458, 0.733, 0.504], np.float32)
"""Unit vector towards the key light."""
_FILL, _RIM = np.array([0.874, 0.257, 0.411], np.float32), np.array([0.450, 0.450, -0.771], np.float32)
_KEY_LIGHT = np.array([1.16, 1.12, 1.06], np.float32)
_FILL_LIGHT, _RIM_LIGHT = np.array([0.07, 0.085, 0.11], np.float32), np.array([0.42, 0.44, 0.48], np.float32)
_SKY, _FLOOR = np.array([0.17, 0.19, 0.23], np.float32), np.array([0.15, 0.14, 0.13], np.float32)
_SOFTNESS, _FALLOFF = 0.15, 1.25
"""Cosine below zero up to which the lights reach, as they have an area, and the exponent of their diffuse light."""
_CONTACT, _CONTACT_HEIGHT = 0.25, 0.35
"""Fraction of the floor's light at the floor, and the fraction of the height of the body over which it grows to all."""
_KEY_LOBES, _RIM_LOBES, _SKY_REFLECTION = ((32.0, 60.0), (9.0, 10.0)), ((5.5, 10.0),), 2.5
"""Strength and sharpness of the highlights, spherical Gaussians, and the strength of the sky in reflections."""
_FACING, _GRAZING = 0.04, 0.50
"""Reflected fraction of light from ahead, and what grazing light adds (Schlick 1994)."""
_CELLS, _MARGIN, _MOST_POINTS = 28, 4, 60_000
"""Cells of the occluder along its longest side and around it, and the most points that it is made from."""
_SHADOW, _SHADOW_OFFSET = 0.9, 2.0
"""Optical depth of a filled cell, and the distance of the first cell in front of the surface [cells]."""
_HOLLOWS, _DARKEST = ((1.2, 1.6, 0.10, 0.85), (3.0, 3.0, 0.16, 1.0)), 0.15
"""Two scales of hollows: blur and distance in front of the surface [cells], fill there in front of a flat surface and
strength; and the least fraction of the light of sky and floor."""
_SHOULDER, _DESATURATION = 0.76, 0.15
"""Intensity above which tone mapping compresses, and how fast very bright colours become white."""


def light_axes(camera: Camera, up: Array) -> Array:
    """Return the axes right, up and horizontally towards the camera as rows, shape (3, 3)."""
    right = camera.viewmat[0, :3] - (camera.viewmat[0, :3] @ up) * up
    right = right / np.linalg.norm(right)
    return np.stack([right, up, np.cross(right, up)])


def spread(position: Array, weights: Array, shape: Array) -> Array:
    """Return a grid of numbers, each spread over the eight nodes around its position by trilinear interpolation.

    Args:
        position: Positions in cells, within the grid, shape (N, 3).
        weights: Numbers, shape (N,).
        shape: Numbers of nodes, shape (3,).
    """
    cell = np.minimum(position.astype(int), shape - 2)
    offset = position - cell
    total = np.zeros(int(shape.prod()))
    for corner in np.ndindex(2, 2, 2):
        node = np.ravel_multi_index(tuple((cell + corner).T), tuple(shape))
        total += np.bincount(node, np.abs(1 - np.array(corner) - offset).prod(axis=1) * weights, len(total))
    return total.reshape(shape)


class Occluder:
    """Coarse grid of the fraction of each cell that a body fills.

    Args:
        points: Points that fill the body, shape (N, 3).
    """

    def __init__(self, points: Array) -> None:
        from scipy import ndimage

        points = points[:: -(-len(points) // _MOST_POINTS)]
        low, high = points.min(axis=0), points.max(axis=0)
        self._cell = max(float((high - low).max()), 1e-30) / _CELLS
        self._corner = low - _MARGIN * self._cell
        shape = np.ceil((high - low) / self._cell).astype(int) + 2 * _MARGIN + 1
        position = (points - self._corner) / self._cell
        mass = spread(position, np.ones(len(points)), shape)
        full = max(float(np.median(mass[tuple(position.astype(int).T)])), 1e-30)
        fill = ndimage.gaussian_filter((mass / full).astype(np.float32), 0.9, truncate=3.0)
        self._fill = np.minimum(fill, 1.0)

    def key_light(self, x: Array, normals: Array) -> Array:
        """Return the fraction of the key light that reaches each point of a surface, shape (M,)."""
        from scipy import ndimage

        depth = np.zeros_like(self._fill)
        for k in range(depth.shape[1] - 2, -1, -1):  # downwards; interpolation softens the shadow with distance
            above = depth[:, k + 1] + self._fill[:, k + 1] / KEY[1]
            depth[:, k] = ndimage.shift(above, -KEY[::2] / KEY[1], order=1, mode="constant", prefilter=False)
        return np.exp(-_SHADOW * self._ahead(depth, x, normals, _SHADOW_OFFSET))

    def openness(self, x: Array, normals: Array) -> Array:
        """Return the fraction of the light of sky and floor that reaches each point of a surface, shape (M,)."""
        from scipy import ndimage

        light = np.ones(len(x), np.float32)
        for blur, distance, flat, strength in _HOLLOWS:
            around = ndimage.gaussian_filter(self._fill, blur, truncate=2.5)
            light -= strength * np.maximum(self._ahead(around, x, normals, distance) - np.float32(flat), 0.0)
        return np.maximum(light, _DARKEST)

    def _ahead(self, field: Array, x: Array, normals: Array, distance: float) -> Array:
        from scipy import ndimage

        position = (x + np.float32(distance * self._cell) * normals - self._corner) / self._cell
        return np.asarray(ndimage.map_coordinates(field, position.T, order=1, mode="nearest"))


def studio_colors(
    albedo: Array, normals: Array, x: Array, towards: Array | None, occluder: Occluder | None, specular: float
) -> Array:
    """Return the colours of points of a surface in studio light, as displayed (sRGB), shape (M, 3).

    Args:
        albedo: Colours in [0, 1], sRGB, shape (M, 3).
        normals: Unit normals, shape (M, 3).
        x: Positions, shape (M, 3).
        towards: Unit vectors towards the eye, shape (M, 3); None for colours without highlights.
        occluder: The body; None for full light everywhere.
        specular: Strength of the highlights.
    """
    key: Array | float = 1.0
    open_: Array | float = 1.0
    floor: Array | float = 1.0
    if occluder is not None:
        key, open_ = occluder.key_light(x, normals)[:, None], occluder.openness(x, normals)[:, None]
        height = (x[:, 1] - x[:, 1].min())[:, None]
        rise = np.minimum(height / max(_CONTACT_HEIGHT * float(height.max()), 1e-30), 1.0)
        floor = _CONTACT + (1.0 - _CONTACT) * rise
    above = (0.5 + 0.5 * normals[:, 1])[:, None]
    light = (
        key * _diffuse(normals @ KEY) * _KEY_LIGHT
        + open_ * (_diffuse(normals @ _FILL) * _FILL_LIGHT + _diffuse(normals @ _RIM) * _RIM_LIGHT)
        + open_ * (above * _SKY + (1.0 - above) * floor * _FLOOR)
    )
    color = linear_light(albedo) * light
    if towards is not None and specular > 0.0:
        facing = np.clip(np.einsum("gi,gi->g", normals, towards), 0.0, 1.0)[:, None]
        mirrored = 2.0 * facing * normals - towards
        reflected = (_FACING + _GRAZING * (1.0 - facing) ** 5) * specular
        sky = _SKY_REFLECTION * np.clip(0.5 + 0.6 * mirrored[:, 1:2], 0.0, 1.0)
        color += reflected * (key * _lobes(mirrored @ KEY, _KEY_LOBES))
        color += reflected * (open_ * (sky + _lobes(mirrored @ _RIM, _RIM_LOBES)))
    return display_color(tone_mapped(color))


def _diffuse(cosine: Array) -> Array:
    lit = np.maximum((cosine + np.float32(_SOFTNESS)) / np.float32(1.0 + _SOFTNESS), 0.0)
    return np.asarray(lit ** np.float32(_FALLOFF))[:, None]


def _lobes(cosine: Array, lobes: tuple[tuple[float, float], ...]) -> Array:
    return np.asarray(sum(strength * np.exp(np.float32(sharp) * (cosine - 1.0)) for strength, sharp in lobes))[:, None]


def tone_mapped(color: Array) -> Array:
    """Return linear light compressed to [0, 1], shape (M, 3).

    Colours below the shoulder do not change, so that an asset keeps its own. The curve is that of the Khronos PBR
    neutral tone mapper (2024), without its offset for reflections.
    """
    peak = color.max(axis=1, keepdims=True)
    room = 1.0 - _SHOULDER
    compressed = 1.0 - room * room / (np.maximum(peak, _SHOULDER) + room - _SHOULDER)
    new = np.where(peak < _SHOULDER, peak, compressed)
    colored = 1.0 / (_DESATURATION * (peak - new) + 1.0)
    return np.asarray(colored * color * (new / np.maximum(peak, 1e-30)) + (1.0 - colored) * new)
