# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Overview of a morph: comparison from the same views, contact sheet, animation and loss plot."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array
from .._color import display_color
from ..errors import ConfigError
from ..export import Stage, lock_folder, write_together
from .body import BodyMaker
from .camera import orbit
from .colors import ParticleColors
from .config import RenderConfig
from .draw import FILL, draw_all, every_frame, floor_of, render_frames
from .film import encode_gif, encode_png, encode_webp
from .plots import encode_loss_plot
from .text import printable

WRITER = "pictures"
"""Name of these files' writer in the manifest."""
FILES = (
    *("source.png", "target.png", "result.png", "comparison.png", "contact_sheet.png"),
    *("morph.gif", "morph.webp", "loss.png"),
)
"""Files of `save_pictures`."""
VIEWS = ((0.0, 0.0), (90.0, 0.0), (-105.0, 25.0))
"""Azimuth and elevation [degrees] of the images of the comparison, relative to the view."""
HIGHEST = 89.0
"""Largest elevation [degrees]."""
MOST_SAMPLES, SAMPLES_PER_PARTICLE = 20_000, 8
"""Limits of the number of Gaussians in these small images."""
FILM_PARTICLES = 40_000
"""Most particles of the animation: as many as fill the cells of the default resolution."""
FITTED_POINTS = 100_000
"""Approximate number of points that the cameras are fitted to."""
TARGET_COLOR = (0.66, 0.68, 0.73)
INK = (52, 58, 70)
PAPER = (246, 247, 249)


def save_pictures(
    result: Any,
    out: str | os.PathLike[str],
    *,
    size: int | tuple[int, int] = 420,
    up: str | None = None,
    azimuth: float = RenderConfig.azimuth,
    elevation: float = RenderConfig.elevation,
    color: str | tuple[float, float, float] = RenderConfig.color,
    appearance: str = RenderConfig.appearance,
    appearance_width: float = RenderConfig.appearance_width,
    gif_frames: int = 40,
    progress: Callable[[int, int], object] | None = None,
    force: bool = False,
) -> list[Path]:
    """Write the overview of a morph: source, target, result, comparison, contact sheet, animation, loss plot.

    Args:
        result: A `MorphResult`.
        out: Folder, made if needed.
        size: Height and width of one image [px], or a pair of width and height.
        up: Axis that is up: "x", "y" or "z"; that of the morph if None.
        azimuth: Camera angle around the up axis [degrees].
        elevation: Camera angle above the horizon [degrees].
        color: "auto", "material", a name, "#rrggbb", or three numbers, as in `RenderConfig`.
        appearance: Colours of a body with colours, as in `RenderConfig`.
        appearance_width: Length of the change of colours, as in `RenderConfig`.
        gif_frames: Largest number of images in the animations. They show every n-th frame, or all frames with equally
            many bodies between neighbours, interpolated linearly.
        progress: Called after each image with the number of images drawn and of all images.
        force: Replace files that DiffMPM did not write.

    Raises:
        ConfigError: If an option does not fit.
        OutputError: If a file cannot be written, other files are in the way, or the folder is in use.
    """
    with lock_folder(out) as folder, write_together(folder, by=WRITER, whole=FILES, force=force) as stage:
        config = RenderConfig(size=size, up=up, azimuth=azimuth, elevation=elevation, color=color)
        scene = _Scene(result, config.replace(appearance=appearance, appearance_width=appearance_width))
        _save_all(result, scene, stage, gif_frames, progress or (lambda drawn, total: None))
    return [folder / name for name in FILES]


def _save_all(
    result: Any, scene: _Scene, stage: Stage, gif_frames: int, progress: Callable[[int, int], object]
) -> None:
    title = f"{result.source_name} to {result.target_name}, {len(result.x)} particles"
    with ThreadPoolExecutor() as pool:

        def save(name: str, encode: Callable[..., bytes], *content: Any) -> Future[None]:
            return pool.submit(lambda: stage.write(name, encode(*content)))

        jobs = [save("loss.png", encode_loss_plot, result.history, title)]
        film = in_steps(result.frames, gif_frames)
        total = 3 * len(VIEWS) + len(film)
        rows = []
        for name, views in scene.rows():
            rows.append((name, views))
            progress(len(rows) * len(VIEWS), total)
        images: list[Array] = []
        for image in scene.film(film):
            images.append(image)
            progress(total - len(film) + len(images), total)
        jobs += [save(f"{name}.png", encode_png, np.concatenate(views, axis=1)) for name, views in rows]
        titled = [(_label(name, result), views) for name, views in rows]
        jobs += [
            save("comparison.png", encode_png, comparison(titled)),
            save("contact_sheet.png", encode_png, contact_sheet(_evenly(images, 12), columns=4)),
            save("morph.gif", partial(encode_gif, ease=True), images),
            save("morph.webp", partial(encode_webp, ease=True), images),
        ]
        for job in jobs:
            job.result()


def comparison(rows: Sequence[tuple[str, Sequence[Array]]]) -> Array:
    """Stack rows of images, each below its title.

    Args:
        rows: Title and images of equal size, uint8, shape (H, W, 3).

    Returns:
        Image, uint8, shape (height, width, 3).
    """
    parts = []
    for title, images in rows:
        strip = np.concatenate(list(images), axis=1)
        parts += [_title(title, strip.shape[1]), strip]
    return np.concatenate(parts, axis=0)


def contact_sheet(images: Sequence[Array], columns: int = 4, gap: int = 4) -> Array:
    """Arrange images in reading order.

    Args:
        images: Images of equal size, uint8, shape (H, W, 3); at least one.
        columns: Images per row.
        gap: Space between them [px].

    Returns:
        Image, uint8, shape (height, width, 3).

    Raises:
        ConfigError: If there is no image.
    """
    if not images:
        raise ConfigError("images: expected at least one image, got none")
    height, width = images[0].shape[:2]
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = np.empty((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), np.uint8)
    sheet[:] = PAPER
    for index, image in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


class _Scene:
    """Cameras, colours and floor of all images of a morph."""

    def __init__(self, result: Any, config: RenderConfig) -> None:
        points = np.concatenate([result.source_x, result.target_x, result.x])
        samples = min(MOST_SAMPLES, SAMPLES_PER_PARTICLE * len(result.x))
        self._config = config.replace(samples=samples).upright(result)
        self._points, self._result = points[:: max(1, len(points) // FITTED_POINTS)], result
        self._floor = floor_of([points, *(frame.x for frame in result.frames)], self._config.axis)

    def rows(self) -> Iterator[tuple[str, list[Array]]]:
        """Yield name and images of source, target and result."""
        config = self._config
        cameras = []
        for azimuth, elevation in VIEWS:
            view = {"azimuth": config.azimuth + azimuth, "elevation": min(HIGHEST, config.elevation + elevation)}
            cameras.append(
                orbit(self._points, **view, size=config.image_size, up=config.axis, fov=config.fov, fill=FILL)
            )
        result = self._result
        own, first, last = ParticleColors(result, config), result.frames[0], result.frames[-1]
        rows = (
            ("source", result.source_x, own(first)),
            ("target", result.target_x, self._target_colors()),
            ("result", result.x, own(last)),
        )
        for name, x, colors in rows:
            make = BodyMaker(x, colors, config)
            views = ((partial(make, x), camera) for camera in cameras)
            yield name, list(draw_all(views, config, self._floor))

    def _target_colors(self) -> Array:
        """Return the colours of the target's sample: its own, if the body has the colours of the meshes."""
        color = getattr(self._result, "target_color", None)
        return np.array(TARGET_COLOR) if color is None or self._config.color != "auto" else display_color(color)

    def film(self, frames: Sequence[Any]) -> Iterator[Array]:
        """Yield the images of the animation, drawn from a subset of the particles of a very large body."""
        x = np.ascontiguousarray(self._result.source_x, dtype=np.float64)
        small = len(x) <= FILM_PARTICLES
        subset = slice(None) if small else np.flatnonzero(_core.thin_evenly(x, FILM_PARTICLES, 0))
        film, every = (
            [SimpleNamespace(x=frame.x[subset], time=frame.time) for frame in part]
            for part in (frames, self._result.frames)
        )
        names = ("source_x", "source_color", "rest_color")
        parts = {name: getattr(self._result, name, None) for name in names}
        thinned = {name: None if part is None else part[subset] for name, part in parts.items()}
        return render_frames(SimpleNamespace(frames=every, **thinned), self._config, frames=film)


def _evenly(images: Sequence[Array], count: int) -> list[Array]:
    """Return at most `count` images at even intervals, including the first and the last."""
    if len(images) <= count:
        return list(images)
    return [images[index] for index in np.linspace(0, len(images) - 1, count).round().astype(int)]


def in_steps(frames: Sequence[Any], most: int) -> list[Any]:
    """Return bodies at equal steps: every n-th frame, or all frames and interpolated bodies; always the last frame."""
    steps = len(frames) - 1
    if steps < 1 or steps + 1 > most:
        return every_frame(frames, max(1, math.ceil(steps / max(most - 1, 1))))
    parts = (most - 1) // steps
    film = []
    for a, b in pairwise(frames):
        for fraction in np.arange(parts, dtype=np.float32) / np.float32(parts):
            time = (1 - float(fraction)) * a.time + float(fraction) * b.time
            film.append(SimpleNamespace(x=(1 - fraction) * a.x + fraction * b.x, time=time))
    return [*film, frames[-1]]


def _label(name: str, result: Any) -> str:
    text = {"source": result.source_name, "target": result.target_name}.get(name, "")
    if name == "result":
        value = result.metrics.get("silhouette_iou")
        text = "" if value is None else f"silhouette IoU {value:.3f}"
    return f"{name}   {text}".rstrip()


def _title(text: str, width: int, height: int = 26) -> Array:
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("RGB", (width, height), PAPER)
    font = ImageFont.truetype(_font(), 11)
    ImageDraw.Draw(strip).text((10, height // 2 - 6), printable(text), fill=INK, font=font)
    return np.asarray(strip)


def _font() -> Path:
    """Return Matplotlib's font with accents, Greek and Cyrillic, without the slow import of Matplotlib."""
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
