# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Overview of a morph: comparison from the same views, contact sheet, animation and loss plot."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array
from ..errors import ConfigError
from ..export import Stage, lock_folder, write_together
from .body import BodyMaker
from .camera import orbit
from .colors import material_colors
from .config import RenderConfig
from .draw import FILL, draw_all, floor_of, render_frames
from .film import encode_gif, encode_png
from .plots import encode_loss_plot
from .text import printable

WRITER = "pictures"
"""Name of these files' writer in the manifest."""
FILES = ("source.png", "target.png", "result.png", "comparison.png", "contact_sheet.png", "morph.gif", "loss.png")
"""Files of `save_pictures`."""
VIEWS = ((35.0, 18.0), (125.0, 18.0), (-70.0, 40.0))
"""Azimuth and elevation [degrees] of the comparison."""
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
    size: int = 420,
    up: str | None = None,
    gif_frames: int = 40,
    force: bool = False,
) -> list[Path]:
    """Write the overview of a morph: source, target, result, comparison, contact sheet, animation, loss plot.

    Args:
        result: A `MorphResult`.
        out: Folder, made if needed.
        size: Height and width of one image [px].
        up: Axis that is up: "x", "y" or "z"; that of the morph if None.
        gif_frames: Number of images in the animation. Particle positions are interpolated linearly between frames.
        force: Replace files that DiffMPM did not write.

    Raises:
        ConfigError: If an option does not fit.
        OutputError: If a file cannot be written, other files are in the way, or the folder is in use.
    """
    with lock_folder(out) as folder, write_together(folder, by=WRITER, whole=FILES, force=force) as stage:
        _save_all(result, stage, size, up, gif_frames)
    return [folder / name for name in FILES]


def _save_all(result: Any, stage: Stage, size: int, up: str | None, gif_frames: int) -> None:
    scene = _Scene(result, size, up)
    title = f"{result.source_name} to {result.target_name}, {len(result.x)} particles"
    with ThreadPoolExecutor() as pool:

        def save(name: str, encode: Callable[..., bytes], *content: Any) -> Future[None]:
            return pool.submit(lambda: stage.write(name, encode(*content)))

        jobs = [save("loss.png", encode_loss_plot, result.history, title)]
        rows = list(scene.rows())
        images = scene.film(gif_frames)
        jobs += [save(f"{name}.png", encode_png, np.concatenate(views, axis=1)) for name, views in rows]
        titled = [(_label(name, result), views) for name, views in rows]
        jobs += [
            save("comparison.png", encode_png, comparison(titled)),
            save("contact_sheet.png", encode_png, contact_sheet(_evenly(images, 12), columns=4)),
            save("morph.gif", encode_gif, images),
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

    def __init__(self, result: Any, size: int, up: str | None) -> None:
        points = np.concatenate([result.source_x, result.target_x, result.x])
        samples = min(MOST_SAMPLES, SAMPLES_PER_PARTICLE * len(result.x))
        self._config = RenderConfig(size=size, up=up, samples=samples).upright(result)
        self._points, self._result = points[:: max(1, len(points) // FITTED_POINTS)], result
        self._floor = floor_of([points, *(frame.x for frame in result.frames)], self._config.axis)

    def rows(self) -> Iterator[tuple[str, list[Array]]]:
        """Yield name and images of source, target and result."""
        size, up = self._config.size, self._config.axis
        cameras = [orbit(self._points, azimuth=a, elevation=e, size=size, up=up, fill=FILL) for a, e in VIEWS]
        result = self._result
        for name, x in (("source", result.source_x), ("target", result.target_x), ("result", result.x)):
            colors = np.array(TARGET_COLOR) if name == "target" else material_colors(result.source_x, up)
            make = BodyMaker(x, colors, self._config)
            views = ((partial(make, x), camera) for camera in cameras)
            yield name, list(draw_all(views, self._config, self._floor))

    def film(self, count: int) -> list[Array]:
        """Return the images of the animation, drawn from a subset of the particles of a very large body."""
        x = np.ascontiguousarray(self._result.source_x, dtype=np.float64)
        small = len(x) <= FILM_PARTICLES
        subset = slice(None) if small else np.flatnonzero(_core.thin_evenly(x, FILM_PARTICLES, 0))
        frames = [SimpleNamespace(x=frame.x[subset]) for frame in self._result.frames]
        source = SimpleNamespace(source_x=self._result.source_x[subset])
        return list(render_frames(source, self._config, frames=_interpolated(frames, count)))


def _evenly(images: Sequence[Array], count: int) -> list[Array]:
    """Return at most `count` images at even intervals, including the first and the last."""
    if len(images) <= count:
        return list(images)
    return [images[index] for index in np.linspace(0, len(images) - 1, count).round().astype(int)]


def _interpolated(frames: Sequence[Any], count: int) -> list[Any]:
    """Return bodies at even intervals, including the first and the last frame."""
    film = []
    for time in np.linspace(0, len(frames) - 1, count):
        index = min(int(time), max(len(frames) - 2, 0))
        fraction = np.float32(time - index)
        a, b = frames[index], frames[min(index + 1, len(frames) - 1)]
        film.append(SimpleNamespace(x=(1 - fraction) * a.x + fraction * b.x))
    return film


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
