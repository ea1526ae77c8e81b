# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Pictures of bodies: surface Gaussians, lit and drawn by the package's own rasteriser."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import ndimage

from .. import _core
from .._arrays import Array, as_array
from .._placement import up_vector
from .._threads import get_num_threads
from ..errors import ConfigError
from ..render import Camera, Raster, rasterize
from .body import Body, bodies
from .camera import orbit
from .colors import material_colors, parse_color
from .config import RenderConfig
from .shadow import floor_shadow

FILL = 0.74
"""Share of the image that a body fills at most in a film."""
_SHADOW_TINT = (0.98, 0.94, 0.88)
_OCCLUSION = ((90.0, 0.6), (28.0, 0.7))
"""Blur, as the share 1 / first of the image's width, and strength of the darkening of hollows."""
_MOST_PAINTERS = 16
"""Pictures that are drawn at a time at most."""
_BYTES_A_SAMPLE = 100
"""Memory that drawing takes for each sample of a pixel: 65 in NumPy, and what the rasteriser takes."""
_TURNTABLE_VIEWS = 12
"""Directions in which a body has to fit into the image of a turntable."""


def render_body(
    x: object,
    camera: Camera,
    *,
    F: object = None,
    colors: object = None,
    floor: float | None = None,
    config: RenderConfig | None = None,
) -> Array:
    """Draw the surface of a body of particles.

    Args:
        x: Positions [m], shape (N, 3).
        camera: Camera; its size is that of the image.
        F: Motion gradients, shape (N, 3, 3), which stretch the Gaussians; identities if None.
        colors: Colours in [0, 1], shape (N, 3) or (3,); those of `config` if None.
        floor: Height of the floor along the up axis [m]; below the body if None.
        config: Options; the defaults if None. Its size, view and film options do not count.

    Returns:
        Image, uint8, shape (H, W, 3).

    Raises:
        ConfigError: If a shape or value does not fit, or the particles have no surface.
    """
    options = config or RenderConfig()
    pos = as_array(x, "x", (None, 3)).astype(np.float32)
    grads = np.broadcast_to(np.eye(3, dtype=np.float32), (len(pos), 3, 3)) if F is None else F
    paint = body_colors(pos, options) if colors is None else np.asarray(colors)
    body = next(bodies([(pos, np.ascontiguousarray(grads))], paint, options))
    up = up_vector(options.axis)
    return draw(body, camera, options, float((pos @ up).min()) if floor is None else floor)


def render_frames(
    result: Any, config: RenderConfig | None = None, *, frames: Sequence[Any] | None = None
) -> Iterator[Array]:
    """Draw the frames of a morph, one by one, as one film: the same camera distance, floor and colours for all.

    The Gaussians are tracked from frame to frame, so that the surface does not flicker.

    Args:
        result: A `MorphResult`.
        config: Options; the defaults if None.
        frames: Frames to draw; those of the result that `config.every` takes if None.

    Yields:
        Images, uint8, shape (size, size, 3).

    Raises:
        ConfigError: If a value does not fit, or a frame has no surface.
    """
    options = (config or RenderConfig()).upright(result)
    shown = list(frames) if frames is not None else every_frame(result.frames, options.every)
    if not shown:
        raise ConfigError("frames: expected at least one frame, got none")
    colors = body_colors(result.source_x, options)
    floor = floor_of([frame.x for frame in shown], options.axis)
    cameras = film_cameras([frame.x for frame in shown], options)
    surfaces = bodies(((frame.x, frame.G) for frame in shown), colors, options)
    yield from draw_all(((body, camera) for body, camera in zip(surfaces, cameras, strict=True)), options, floor)


def draw_all(pairs: Iterable[tuple[Body, Camera]], config: RenderConfig, floor: float) -> Iterator[Array]:
    """Yield the picture of each pair, in their order; several are drawn at a time, while the next bodies are made."""
    painters = _painters(config)
    with ThreadPoolExecutor(painters, initializer=_core.limit_thread_count, initargs=(1,)) as pool:
        begun: deque[Future[Array]] = deque()
        try:
            for body, camera in _beside(painters, pairs):
                begun.append(pool.submit(draw, body, camera, config, floor))
                if len(begun) > painters:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _beside(painters: int, pairs: Iterable[tuple[Body, Camera]]) -> Iterator[tuple[Body, Camera]]:
    """Yield the pairs, each made by the cores that do not paint: a thread that waits for a core holds up the others."""
    makers = iter(pairs)
    while True:
        _core.limit_thread_count(get_num_threads() - painters if painters > 1 else 0)
        try:
            pair = next(makers, None)
        finally:
            _core.limit_thread_count(0)
        if pair is None:
            return
        yield pair


def _painters(config: RenderConfig) -> int:
    """Return how many pictures are drawn at a time: a third of the cores, if a quarter of the memory holds them."""
    picture = _BYTES_A_SAMPLE * (config.size * config.supersample) ** 2
    return max(1, min(_MOST_PAINTERS, get_num_threads() // 3, _core.available_memory() // (4 * picture)))


def every_frame(frames: Sequence[Any], every: int) -> list[Any]:
    """Return each so many frames and the last one."""
    shown = list(frames[::every])
    if len(frames) and shown[-1] is not frames[-1]:
        shown.append(frames[-1])
    return shown


def body_colors(source_x: Array, config: RenderConfig) -> Array:
    """Return the colours of the particles, shape (N, 3) or (3,)."""
    if config.color == "material":
        return material_colors(source_x, config.axis)
    return np.array(parse_color(config.color))


def floor_of(paths: Sequence[Array], up: str) -> float:
    """Return the height of a floor that no particle of the frames goes through [m]."""
    axis = up_vector(up)
    return min(float((x @ axis).min()) for x in paths)


def film_cameras(paths: Sequence[Array], config: RenderConfig) -> list[Camera]:
    """Return a camera for each frame, all at one distance from one point, that see the body all the time."""
    reach = np.concatenate([x[:: max(1, len(x) // 4000)] for x in paths])
    view = {"size": config.size, "elevation": config.elevation, "up": config.axis, "fov": config.fov, "fill": FILL}
    if config.turns == 0.0:
        return [orbit(reach, azimuth=config.azimuth, **view)] * len(paths)  # type: ignore[arg-type]
    center = 0.5 * (reach.min(axis=0) + reach.max(axis=0)).astype(np.float64)
    around = np.linspace(0.0, 360.0, _TURNTABLE_VIEWS, endpoint=False)
    fits = [orbit(reach, azimuth=a, **view).position for a in around]  # type: ignore[arg-type]
    distance = max(float(np.linalg.norm(eye - center)) for eye in fits)
    cameras = []
    for moment in np.arange(len(paths)) / max(len(paths), 1):
        eye = orbit(reach, azimuth=config.azimuth + 360.0 * config.turns * moment, **view)  # type: ignore[arg-type]
        away = -eye.viewmat[2, :3]
        cameras.append(
            Camera.look_at(
                center + distance * away,
                center,
                up_vector(config.axis),
                width=config.size,
                height=config.size,
                fov=config.fov,
            )
        )
    return cameras


def draw(body: Body, camera: Camera, config: RenderConfig, floor: float) -> Array:
    """Return the picture of a surface, uint8, shape (H, W, 3)."""
    up, fine = up_vector(config.axis), config.supersample
    lit = body.lit(camera, up, config)
    large = camera.resized(camera.width * fine, camera.height * fine)
    unit = _unit(lit.means, camera)
    raster = rasterize(
        lit.means * unit,
        quats=lit.quats,
        scales=lit.scales * unit,
        opacities=lit.opacities,
        colors=lit.colors,
        cameras=_rescaled(large, unit),
    )
    color = raster.color
    if config.occlusion:
        color = color * _occlusion(raster)[..., None]
    color = color.reshape(camera.height, fine, camera.width, fine, 3).mean(axis=(1, 3))
    alpha = raster.alpha.reshape(camera.height, fine, camera.width, fine).mean(axis=(1, 3))
    back = np.broadcast_to(np.array(parse_color(config.background)), color.shape)
    if config.shadow:
        back = back * (1.0 - floor_shadow(body.splats, camera, up, floor)[..., None] * np.array(_SHADOW_TINT))
    image = color + (1.0 - alpha)[..., None] * back
    return np.asarray(np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def _unit(means: Array, camera: Camera) -> Any:
    """Return the power of two that takes a body at less than 1 m to 1 m or more: the near plane is at 1 cm."""
    distance = float(np.linalg.norm(means.mean(axis=0) - camera.position))
    return means.dtype.type(2.0 ** max(0.0, -np.floor(np.log2(max(distance, 1e-30)))))


def _rescaled(camera: Camera, unit: float) -> Camera:
    """Return the camera that sees the scene in another unit as this one sees it."""
    viewmat = camera.viewmat.copy()
    viewmat[:3, 3] *= unit
    return replace(camera, viewmat=viewmat)


def _occlusion(raster: Raster) -> Array:
    """Darken what lies behind its surroundings on the screen (unsharp masking of the depth, Luft et al. 2006)."""
    alpha, depth = raster.alpha.astype(np.float64), raster.depth.astype(np.float64)
    solid = alpha > 0.5
    if not solid.any():
        return np.ones_like(alpha)
    here = depth / np.maximum(alpha, 1e-6)
    extent = max(float(np.ptp(here[solid])), 1e-30)
    result = np.ones_like(alpha)
    for share, amount in _OCCLUSION:
        sigma = alpha.shape[1] / share
        around = _blur(depth, sigma) / np.maximum(_blur(alpha, sigma), 1e-6)
        result *= 1.0 - amount * np.clip((here - around) / extent, 0.0, 0.45)
    return np.asarray(np.where(solid, result, 1.0))


def _blur(image: Array, sigma: float) -> Array:
    """Blur with a Gaussian, on a coarser image where it is wide."""
    step = max(1, int(sigma / 3.0))
    while image.shape[0] % step or image.shape[1] % step:
        step -= 1
    if step == 1:
        return np.asarray(ndimage.gaussian_filter(image, sigma, truncate=3.0))
    small = image.reshape(image.shape[0] // step, step, -1, step).mean(axis=(1, 3))
    small = ndimage.gaussian_filter(small, sigma / step, truncate=3.0)
    return np.asarray(ndimage.zoom(small, step, order=1, mode="nearest", grid_mode=True))
