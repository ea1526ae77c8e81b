# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Draw particles as shaded spheres: a z-buffer of sphere impostors, smooth normals, contact shadow, supersampling."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from .._arrays import Array, as_array
from ..errors import ConfigError
from .camera import Camera

BACKGROUND_TOP = (0.965, 0.970, 0.980)
BACKGROUND_BOTTOM = (0.830, 0.850, 0.885)
NEIGHBOURS = 18
"""Neighbours whose mean offset tells where the outside is."""
SPHERE_SHARE = 0.35
"""Share of the sphere's own normal in the shading normal; the rest is the surface's."""
HIDDEN_DEPTH = 5.0
"""Radii behind the front beyond which a particle counts as hidden: gaps show the particles below."""

_EMPTY = np.iinfo(np.int64).max

_KEY, _FILL, _RIM = (-0.55, -0.75, -0.55), (0.8, -0.1, -0.35), (0.25, -0.9, 0.5)
"""Directions to the lights in camera axes (right, down, forward)."""
_PALETTE = np.array(
    [[0.16, 0.29, 0.55], [0.13, 0.52, 0.62], [0.36, 0.70, 0.50], [0.93, 0.78, 0.36], [0.91, 0.45, 0.28]]
)


def material_colors(x: object, up: str = "z") -> Array:
    """Colour particles by their height, to be kept while they move: it shows where material goes.

    Args:
        x: Positions [m], shape (N, 3).
        up: Axis of the height: "x", "y" or "z".

    Returns:
        Colours in [0, 1], linear in the palette, shape (N, 3).
    """
    height = as_array(x, "x", (None, 3))[:, "xyz".index(up)].astype(np.float64)
    low, high = float(height.min()), float(height.max())
    at = (height - low) / max(high - low, 1e-30) * (len(_PALETTE) - 1)
    return np.stack([np.interp(at, np.arange(len(_PALETTE)), _PALETTE[:, k]) for k in range(3)], axis=1)


def render_particles(
    x: object,
    camera: Camera,
    *,
    size: int = 480,
    colors: object = (0.62, 0.66, 0.72),
    radius: float | None = None,
    floor: float | None = None,
    supersample: int = 2,
) -> Array:
    """Draw particles.

    Args:
        x: Positions [m], shape (N, 3).
        camera: Camera.
        size: Height and width of the image in pixels.
        colors: One colour, or shape (N, 3), in [0, 1].
        radius: Radius of the spheres [m]; from the spacing of the particles if None.
        floor: Height of the floor along the camera's up axis that catches the shadow; below the body if None.
        supersample: Samples a pixel along each axis.

    Returns:
        Image, uint8, shape (size, size, 3).

    Raises:
        ConfigError: If a shape or size does not fit.
    """
    pos = as_array(x, "x", (None, 3)).astype(np.float64)
    if size < 8 or supersample < 1:
        raise ConfigError(f"size: expected at least 8 pixels and 1 sample a pixel, got {size} and {supersample}")
    paint = np.broadcast_to(np.asarray(colors, np.float64), pos.shape)
    wide = size * supersample
    normals, spacing = _outward(pos)
    ball = radius if radius is not None else 0.75 * spacing
    depth, owner = _z_buffer(pos, camera, wide, ball)
    image = _backdrop(pos, camera, wide, floor, ball)
    hit = owner >= 0
    if hit.any():
        shade = _shade(pos, camera, wide, ball, depth, owner, hit, normals @ camera.axes().T, paint)
        image[hit] = shade
    image = image.reshape(size, supersample, size, supersample, 3).mean(axis=(1, 3))
    return np.asarray(np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def _outward(pos: Array) -> tuple[Array, float]:
    """Return directions away from the neighbours, shape (N, 3), and the median spacing."""
    count = min(NEIGHBOURS + 1, len(pos))
    if count < 2:
        return np.zeros_like(pos), 1.0
    distance, index = cKDTree(pos).query(pos, count, workers=-1)
    offset = pos - pos[index[:, 1:]].mean(axis=1)
    offset = offset[index].mean(axis=1)  # once more over the neighbourhood: single offsets are noisy
    length = np.linalg.norm(offset, axis=1, keepdims=True)
    return offset / np.maximum(length, 1e-30), float(np.median(distance[:, 1])) * 1.25


def _z_buffer(pos: Array, camera: Camera, wide: int, ball: float) -> tuple[Array, Array]:
    """Return depth (wide, wide), infinite where nothing is, and index of the particle, -1 there."""
    pixel, focal = camera.project(pos, wide)
    reach = focal * ball / pixel[:, 2]
    shown = np.arange(len(pos))
    step = int(float(np.median(reach)) / 2.0)
    if step >= 2:  # a coarse buffer first tells which particles others hide
        narrow = -(-wide // step)
        near = _draw(pixel / np.array([step, step, 1.0]), reach / step, shown, ball, narrow)[0]
        cover = ndimage.maximum_filter(near, 3)
        at = np.clip((pixel[:, :2] / step).astype(int), 0, narrow - 1)
        shown = np.nonzero(pixel[:, 2] - ball <= cover[at[:, 1], at[:, 0]] + HIDDEN_DEPTH * ball)[0]
    return _draw(pixel[shown], reach[shown], shown, ball, wide)


def _draw(pixel: Array, reach: Array, names: Array, ball: float, wide: int) -> tuple[Array, Array]:
    """Fill a z-buffer with sphere fronts, one pixel offset of all spheres at a time."""
    near, far = float(pixel[:, 2].min()) - 2 * ball, float(pixel[:, 2].max()) + 2 * ball
    scale = 2.0**30 / (far - near)
    buffer = np.full(wide * wide, _EMPTY, np.int64)
    order = np.argsort(reach)  # so that a far offset looks at the large spheres only
    pixel, reach, names = pixel[order], reach[order], names[order].astype(np.int64)
    corner = np.floor(pixel[:, :2]).astype(np.int64)
    part = corner + 0.5 - pixel[:, :2]
    most = int(np.ceil(reach[-1])) + 1
    for row in range(-most, most + 1):
        for column in range(-most, most + 1):
            first = int(np.searchsorted(reach, np.hypot(row, column) - 0.75))
            square = reach[first:] ** 2 - (part[first:, 0] + column) ** 2 - (part[first:, 1] + row) ** 2
            across, down = corner[first:, 0] + column, corner[first:, 1] + row
            good = np.nonzero((square > 0) & (across >= 0) & (across < wide) & (down >= 0) & (down < wide))[0]
            if len(good) == 0:
                continue
            depth = pixel[first + good, 2] - ball / reach[first + good] * np.sqrt(square[good])
            key = ((depth - near) * scale).astype(np.int64) << 32 | names[first + good]
            np.minimum.at(buffer, down[good] * wide + across[good], key)
    empty = buffer == _EMPTY
    front: Array = np.where(empty, np.inf, (buffer >> 32) / scale + near)
    return front.reshape(wide, wide), np.where(empty, -1, buffer & 0xFFFFFFFF).reshape(wide, wide)


def _blur(image: Array, sigma: float) -> Array:
    """Blur with a Gaussian, on a coarser image where it is wide."""
    step = max(1, int(sigma / 3.0))
    while image.shape[0] % step:
        step -= 1
    if step == 1:
        return np.asarray(ndimage.gaussian_filter(image, sigma, truncate=3.0))
    small = image.reshape(image.shape[0] // step, step, -1, step).mean(axis=(1, 3))
    small = ndimage.gaussian_filter(small, sigma / step, truncate=3.0)
    return np.asarray(ndimage.zoom(small, step, order=1, mode="nearest", grid_mode=True))


def _backdrop(pos: Array, camera: Camera, wide: int, floor: float | None, ball: float) -> Array:
    """Return the background with a soft shadow on the floor."""
    ramp = np.linspace(0.0, 1.0, wide)[:, None, None] ** 1.3
    image = (1 - ramp) * np.array(BACKGROUND_TOP) + ramp * np.array(BACKGROUND_BOTTOM)
    image = np.broadcast_to(image, (wide, wide, 3)).copy()
    up = np.asarray(camera.up)
    if float(np.dot(np.asarray(camera.eye) - np.asarray(camera.target), up)) <= 0.0:
        return image  # seen from below there is no floor
    heights = pos @ up
    level = float(heights.min()) - ball if floor is None else floor
    fallen = pos - np.outer(heights - level, up)
    pixel, _ = camera.project(fallen, wide)
    inside = ((pixel[:, :2] >= 0) & (pixel[:, :2] < wide)).all(axis=1)
    at = pixel[inside, :2].astype(int)
    weight = np.exp(-(heights[inside] - level) / max(0.45 * float(np.ptp(heights)), 1e-30))
    count = np.zeros((wide, wide))
    np.add.at(count, (at[:, 1], at[:, 0]), weight)
    soft = _blur(count, wide / 55) + 0.6 * _blur(count, wide / 20)
    dark = 1.0 - np.exp(-2.2 * soft / max(float(soft.max()), 1e-30))
    tint = np.array([0.62, 0.58, 0.50])
    return np.asarray(image * (1.0 - 0.55 * dark[..., None] * tint))


def _shade(
    pos: Array,
    camera: Camera,
    wide: int,
    ball: float,
    depth: Array,
    owner: Array,
    hit: Array,
    normals: Array,
    paint: Array,
) -> Array:
    """Return the colours of the covered pixels, shape (hits, 3)."""
    pixel, focal = camera.project(pos, wide)
    rows, columns = np.nonzero(hit)
    who = owner[hit]
    scale = pixel[who, 2] / (focal * ball)
    own = np.empty((len(who), 3))
    own[:, 0] = (columns + 0.5 - pixel[who, 0]) * scale
    own[:, 1] = (rows + 0.5 - pixel[who, 1]) * scale
    own[:, 2] = -np.sqrt(np.maximum(0.0, 1.0 - own[:, 0] ** 2 - own[:, 1] ** 2))
    normal = SPHERE_SHARE * own + (1.0 - SPHERE_SHARE) * normals[who]
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)
    key, fill, rim = (normal @ _unit(light) for light in (_KEY, _FILL, _RIM))
    diffuse = 0.62 * np.clip(0.85 * key + 0.15, 0, None) + 0.20 * np.clip(fill, 0, None)
    sky = 0.30 + 0.10 * np.clip(-normal[:, 1], -1, 1)
    half = _unit(np.asarray(_unit(_KEY)) + np.array([0.0, 0.0, -1.0]))
    gloss = 0.16 * np.clip(normal @ half, 0, None) ** 28
    edge = 0.10 * np.clip(rim, 0, None) ** 2 * (1.0 - np.clip(-normal[:, 2], 0, 1)) ** 2
    light = (diffuse + sky) * _occlusion(depth, hit, wide, ball)
    return np.asarray(paint[who] * light[:, None] * 1.06 + (gloss + edge)[:, None])


def _occlusion(depth: Array, hit: Array, wide: int, ball: float) -> Array:
    """Darken what lies behind its surroundings on the screen (unsharp masking of the depth, Luft et al. 2006)."""
    far = float(depth[hit].max())
    filled = np.where(hit, depth, far)
    result = np.ones(int(hit.sum()))
    extent = max(far - float(depth[hit].min()), ball)
    for blur, amount in ((wide / 90, 1.1), (wide / 28, 0.9)):
        mass = _blur(hit.astype(float), blur)
        mean = _blur(np.where(hit, filled, 0.0), blur) / np.maximum(mass, 1e-6)
        behind = np.clip((filled - mean)[hit] / extent, 0.0, 0.45)
        result *= 1.0 - amount * behind
    return np.clip(result, 0.25, 1.0)


def _unit(vector: object) -> Array:
    a = np.asarray(vector, np.float64)
    return np.asarray(a / np.linalg.norm(a))
