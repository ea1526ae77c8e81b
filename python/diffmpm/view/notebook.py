# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Pictures that notebooks show for meshes, particles, Gaussians and images; `diffmpm._repr.pictured` names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._arrays import Array, to_host
from ..errors import ConfigError
from ..export import Splats
from .body import Body
from .camera import FILL, orbit
from .colors import material_colors
from .config import RenderConfig
from .draw import draw, render_body
from .film import encode_png
from .overview import thinned

SIZE = 300
"""Height and width of a picture [px]."""
_MOST_PARTICLES, _MOST_SEARCHED = 20_000, 200_000
"""Particles that are drawn: an even subset of a random subset of a very large body."""
_SAMPLES = 40_000
"""Gaussians on the surface of a mesh."""
_EVEN = (0.7548776662466927, 0.5698402909980532)
"""Steps of the R2 sequence (Roberts 2018, The unreasonable effectiveness of quasirandom sequences)."""
_WIDTH, _FLATNESS = 0.85, 0.1
"""Standard deviation of a sample over the distance between samples, and its thickness over its width."""
_MOST_IMAGES = 4
"""Images that are shown of a batch."""


def encoded(draw: Callable[[Any], Array | None], value: Any) -> bytes | None:
    """Return the picture of a value as PNG, or None, for which a notebook shows the text, if nothing can be drawn."""
    try:
        image = draw(value)
    except ConfigError:  # no surface
        return None
    return None if image is None else encode_png(image)


def particles(body: Any) -> Array | None:
    """Draw the surface of particles."""
    x = _finite(to_host(body.x))
    if len(x) > _MOST_SEARCHED:
        x = x[np.sort(np.random.default_rng(0).choice(len(x), _MOST_SEARCHED, replace=False))]
    if len(x) > _MOST_PARTICLES:
        x = x[thinned(x, _MOST_PARTICLES)]
    if not len(x):
        return None
    return render_body(x, _camera(x, RenderConfig()), config=RenderConfig())


def mesh(shape: Any) -> Array | None:
    """Draw a triangle mesh by flat Gaussians at points that cover its surface evenly."""
    corners = np.asarray(shape.vertices, np.float64)[shape.triangles]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(cross, axis=1)
    total = float(areas.sum())
    if not 0.0 < total < np.inf:
        return None
    # Each triangle has as many samples as its area needs, at consecutive points of an even sequence.
    index = np.arange(_SAMPLES)
    chosen = np.searchsorted(np.cumsum(areas), total * (index + 0.5) / _SAMPLES)
    a, b = (np.multiply.outer(_EVEN, index) % 1.0)[..., None]
    a = np.sqrt(a)
    weights = np.stack([1.0 - a, a * (1.0 - b), a * b], axis=1)
    means, normals = (weights * corners[chosen]).sum(axis=1), cross[chosen] / areas[chosen, None]
    smooth = getattr(shape, "normals", None)
    if smooth is not None:
        normals = (weights * smooth[shape.triangles][chosen]).sum(axis=1)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    width = _WIDTH * np.sqrt(0.5 * total / _SAMPLES)
    across = np.eye(3) - (1.0 - _FLATNESS**2) * normals[:, :, None] * normals[:, None, :]
    return _surface(means, width**2 * across, normals, up=getattr(shape, "up", None))


def gaussians(cloud: Any) -> Array | None:
    """Draw Gaussians on the surface of a body."""
    means, covars, normals = (np.asarray(to_host(a), np.float64) for a in (cloud.means, cloud.covars, cloud.normals))
    return _surface(means, covars, normals)


def images(raster: Any) -> Array | None:
    """Show the colour images of a raster."""
    color = np.asarray(to_host(raster.color), np.float32)
    return _row(color if color.ndim == 4 else color[None])


def silhouettes(views: Any) -> Array | None:
    """Show the silhouettes of target views."""
    return _row(views.alpha[..., None])


def _surface(means: Array, covars: Array, normals: Array, up: str | None = None) -> Array | None:
    config = RenderConfig(up=up, size=SIZE)
    usable = np.isfinite(means).all(axis=1) & np.isfinite(covars).all(axis=(1, 2)) & np.isfinite(normals).all(axis=1)
    means, covars, normals = means[usable], covars[usable], normals[usable]
    if not len(means):
        return None
    splats = Splats.create(means, covars, material_colors(means, config.axis), opacity=config.opacity)
    floor = float(means[:, "xyz".index(config.axis)].min())
    return draw(Body(splats, normals.astype(np.float32), means), _camera(means, config), config, floor)


def _camera(x: Array, config: RenderConfig) -> Any:
    view = {"azimuth": config.azimuth, "elevation": config.elevation, "up": config.axis, "fov": config.fov}
    return orbit(x, size=SIZE, fill=FILL, **view)  # type: ignore[arg-type]


def _row(batch: Array) -> Array | None:
    """Return the first images of a batch side by side; features other than one or three channels as grey."""
    if batch.shape[-1] != 3:
        batch = np.repeat(batch[..., :1], 3, axis=-1)
    if not batch.size:
        return None
    step = max(1, -(-batch.shape[1] // SIZE))
    row = np.concatenate(list(batch[:_MOST_IMAGES, ::step, ::step]), axis=1)
    return np.asarray(np.clip(np.nan_to_num(row), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def _finite(x: Array) -> Array:
    return x[np.isfinite(x).all(axis=1)]
