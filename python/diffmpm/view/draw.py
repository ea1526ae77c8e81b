# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Images of bodies: surface Gaussians, lit and drawn by the rasteriser of this package."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial, reduce
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array, as_array
from .._placement import up_vector
from .._threads import get_num_threads
from ..errors import ConfigError
from ..render import Camera, rasterize
from .body import BodyMaker, Drawable, SceneBody
from .camera import film_cameras
from .colors import ParticleColors, parse_color
from .config import TRANSPARENT, RenderConfig
from .scenes import drawn_scenes
from .shadow import floor_shadow
from .timeline import Timeline, evaluated

_MOST_WORKERS = 16
"""Most images drawn at the same time."""
_BYTES_PER_SAMPLE = 100
"""Memory to draw one sample of a pixel: 65 bytes in NumPy, and the rasteriser."""


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
        camera: Camera, which also sets the image size.
        F: Without effect; the surface depends on the positions alone.
        colors: Colours in [0, 1], shape (N, 3) or (3,); those of `config` if None.
        floor: Height of the floor along the up axis [m]; that of the bottom of the body if None.
        config: Options. Its size, view and film options have no effect.

    Returns:
        Image, uint8, shape (H, W, 3), or (H, W, 4) with a transparent background.

    Raises:
        ConfigError: If a shape or value does not fit, or the particles have no surface.
    """
    options = config or RenderConfig()
    pos = as_array(x, "x", (None, 3)).astype(np.float32)
    look = ParticleColors(SimpleNamespace(source_x=pos), options)
    body_color = look(None) if colors is None else np.asarray(colors)
    body = BodyMaker(pos, body_color, options)(pos)
    return draw(body, camera, options, floor)


def render_frames(
    result: Any,
    config: RenderConfig | None = None,
    *,
    frames: Sequence[Any] | None = None,
    timeline: Timeline | None = None,
) -> Iterator[Array]:
    """Draw a morph as a film, with the same camera distance and colours for all images.

    Each surface is fitted to the positions of its image, and the floor is at its bottom. A morph of trained scenes
    shows their Gaussians instead.

    Args:
        result: A `MorphResult`.
        config: Options.
        frames: Frames to draw; those of the result that `config.every` selects if None.
        timeline: When the film shows which state between these frames. None: one image per frame. Equal consecutive
            images are the same array.

    Yields:
        Images, uint8, shape (H, W, 3), or (H, W, 4) with a transparent background.

    Raises:
        ConfigError: If a value does not fit, or a frame has no surface.
    """
    options = (config or RenderConfig()).upright(result)
    selected = list(frames) if frames is not None else every_frame(result.frames, options.every)
    if not selected:
        raise ConfigError("frames: expected at least one frame, got none")
    colors = ParticleColors(result, options)
    paths = [frame.x for frame in selected]
    if timeline is None:
        cameras = film_cameras(paths, options)
        again = [False] * len(selected)
    else:
        poses = timeline.poses(result, selected)
        times = [n / timeline.fps for n in range(len(poses))]
        cameras = film_cameras(paths, options, times, len(poses) / timeline.fps)
        again = [
            n > 0 and cameras[n] is cameras[n - 1] and poses[n].same(poses[n - 1])  # a hold, with a camera at rest
            for n in range(len(poses))
        ]
        selected = list(poses)
    scenes = drawn_scenes(result, options)
    if scenes is None:
        fit = BodyMaker(selected[0].x, colors(selected[0]), options)

        def make(frame: Any) -> Drawable:
            return fit(frame.x, colors(frame))

    else:

        def make(frame: Any) -> Drawable:
            return SceneBody(scenes(frame))

    images = draw_all(
        (
            (partial(make, frame), camera)
            for frame, camera, repeated in zip(evaluated(selected), cameras, again, strict=True)
            if not repeated
        ),
        options,
    )
    latest: Array | None = None
    for repeated in again:
        latest = latest if repeated and latest is not None else next(images)
        yield latest


def draw_all(views: Iterable[tuple[Callable[[], Drawable], Camera]], config: RenderConfig) -> Iterator[Array]:
    """Yield the image of each view in order: a function that makes the body, and a camera. Each thread draws one."""
    workers = _worker_count(config)
    with ThreadPoolExecutor(workers, initializer=_core.limit_thread_count, initargs=(1,)) as pool:
        images: deque[Future[Array]] = deque()
        try:
            for make, camera in views:
                images.append(pool.submit(lambda make, camera: draw(make(), camera, config), make, camera))
                if len(images) > workers:
                    yield images.popleft().result()
            while images:
                yield images.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _worker_count(config: RenderConfig) -> int:
    """Return the number of images drawn at the same time: one per thread, within a quarter of the memory."""
    image_bytes = _BYTES_PER_SAMPLE * math.prod(config.image_size) * config.supersample**2
    return max(1, min(_MOST_WORKERS, get_num_threads(), _core.available_memory() // (4 * image_bytes)))


def every_frame(frames: Sequence[Any], every: int) -> list[Any]:
    """Return every n-th frame and the last one."""
    selected = list(frames[::every])
    if len(frames) and selected[-1] is not frames[-1]:
        selected.append(frames[-1])
    return selected


def draw(body: Drawable, camera: Camera, config: RenderConfig, floor: float | None = None) -> Array:
    """Return the image of a surface, uint8, shape (H, W, 3), or (H, W, 4) with a transparent background.

    `floor` is the height of the floor along the up axis [m]; None: that of the bottom of the body.
    """
    up, fine = up_vector(config.axis), config.supersample
    lit = body.lit(camera, up, config)
    unit = _unit(lit.means, camera)
    raster = rasterize(
        lit.means * unit,
        quats=lit.quats,
        scales=lit.scales * unit,
        opacities=lit.opacities,
        colors=lit.colors,
        cameras=_rescaled(camera.resized(camera.width * fine, camera.height * fine), unit),
    )
    color, alpha = _reduced(raster.color, fine), _reduced(raster.alpha, fine)
    light = np.ones_like(alpha)
    if config.shadow:
        height = body.bottom(up) if floor is None else floor
        light = 1.0 - floor_shadow(body.splats, camera, up, height)
    behind = (1.0 - alpha) * light  # fraction of the background that is seen
    if config.background == TRANSPARENT:
        opacity = 1.0 - behind
        straight = color / np.maximum(opacity, 1e-6)[..., None]
        return _as_bytes(np.concatenate([straight, opacity[..., None]], axis=2))
    return _as_bytes(color + behind[..., None] * np.array(parse_color(config.background), np.float32))


def _as_bytes(image: Array) -> Array:
    return np.asarray(np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def _unit(means: Array, camera: Camera) -> Any:
    """Return the power of two that scales a body closer than 1 m to at least 1 m, away from the near plane at 1 cm."""
    distance = float(np.linalg.norm(means.mean(axis=0) - camera.position))
    return means.dtype.type(2.0 ** max(0.0, -np.floor(np.log2(max(distance, 1e-30)))))


def _rescaled(camera: Camera, unit: float) -> Camera:
    """Return the camera with the same image of the scaled scene."""
    viewmat = camera.viewmat.copy()
    viewmat[:3, 3] *= unit
    return replace(camera, viewmat=viewmat)


def _reduced(image: Array, fine: int) -> Array:
    """Return the means of blocks of `fine` x `fine` samples."""
    rows = reduce(np.add, [image[k::fine] for k in range(fine)])
    return np.asarray(reduce(np.add, [rows[:, k::fine] for k in range(fine)]) * np.float32(1.0 / fine**2))
