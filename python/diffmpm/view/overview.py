# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Overview of a morph: comparison from the same views, contact sheet, animation and loss plot."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array
from .._color import display_color
from ..errors import ConfigError
from ..export import Stage, lock_folder, write_together
from .body import BodyMaker, Drawable, SceneBody
from .camera import FILL, orbit
from .colors import ParticleColors
from .config import RenderConfig
from .draw import draw_all, render_frames
from .film import encode_gif, encode_png, encode_webp
from .plots import encode_loss_plot
from .scenes import CarriedScenes, drawn_scenes
from .text import printable
from .timeline import Timeline

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
MOST_SAMPLES, SAMPLES_PER_PARTICLE = 20_000, 5
"""Limits of the number of Gaussians in these small images."""
FILM_PARTICLES = 40_000
"""Most particles of the animation: as many as fill the cells of the default resolution."""
FITTED_POINTS = 100_000
"""Approximate number of points that the cameras are fitted to."""
TARGET_COLOR = (0.66, 0.68, 0.73)
MOST_IMAGES, FEWEST_IMAGES = 40, 16
"""Limits of the number of different images of the animation."""
TIME_FRACTION = 1 / 3
"""Largest time that the images take relative to the morph: drawing is at most a quarter of the whole."""
PACE = Timeline(fps=1000.0 / 60.0, hold=0.9, ease=0.5)
"""Timeline of the animation; its duration follows from the number of images."""
TITLE_HEIGHT = 26
"""Height of a title above images of up to 420 pixels; it grows with theirs."""
INKS = ((128, 134, 146), (52, 58, 70), (224, 228, 236))
"""Colours of text on transparent, light and dark backgrounds."""


def save_pictures(
    result: Any,
    out: str | os.PathLike[str],
    *,
    gif_frames: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    force: bool = False,
    size: int | tuple[int, int] = 420,
    **options: Any,
) -> list[Path]:
    """Write the overview of a morph: source, target, result, comparison, contact sheet, animation, loss plot.

    Args:
        result: A `MorphResult`.
        out: Folder, made if needed.
        gif_frames: Number of different images in the animations. None: 40, or as many as can be drawn in a third of the
            time of the morph, at least 16.
        progress: Called after each image with the number of images drawn and of all images.
        force: Replace files that DiffMPM did not write.
        size: Height and width of one image [px], or a pair of width and height.
        **options: Other fields of `RenderConfig`, such as `azimuth=90, color="clay"`. `turns` acts on animations and
            contact sheet.

    Raises:
        ConfigError: If an option does not fit.
        OutputError: If a file cannot be written, other files are in the way, or the folder is in use.
    """
    with (
        lock_folder(out) as folder,
        write_together(folder, by=WRITER, whole=FILES, drop=("preview",), force=force) as stage,
    ):
        scene = _Scene(result, RenderConfig(size=size, **options))
        _save_all(result, scene, stage, gif_frames, progress or (lambda drawn, total: None))
    return [folder / name for name in FILES]


def _save_all(
    result: Any, scene: _Scene, stage: Stage, gif_frames: int | None, progress: Callable[[int, int], object]
) -> None:
    title = f"{result.source_name} to {result.target_name}, {len(result.x)} particles"
    with ThreadPoolExecutor() as pool:

        def save(name: str, encode: Callable[..., bytes], *content: Any) -> Future[None]:
            return pool.submit(lambda: stage.write(name, encode(*content)))

        jobs = [save("loss.png", encode_loss_plot, result.history, title)]
        began, rows, stills = time.perf_counter(), [], 3 * len(VIEWS)
        for name, views in scene.rows():
            rows.append((name, views))
            progress(len(rows) * len(VIEWS), stills + (gif_frames or MOST_IMAGES))
        spent = time.perf_counter() - began
        film, count = scene.film(gif_frames or _affordable(result, spent, spent / stills))
        total = stills + count
        images: list[Array] = []
        for image in film:
            images.append(image)
            progress(total - count + len(images), total)
        different = [image for n, image in enumerate(images) if n == 0 or image is not images[n - 1]]
        jobs += [save(f"{name}.png", encode_png, np.concatenate(views, axis=1)) for name, views in rows]
        titled = [(_label(name, result), views) for name, views in rows]
        jobs += [
            save("comparison.png", encode_png, comparison(titled)),
            save("contact_sheet.png", encode_png, contact_sheet(_evenly(different, 12), columns=4)),
            save("morph.gif", partial(encode_gif, milliseconds=1000.0 / PACE.fps), images),
            save("morph.webp", partial(encode_webp, milliseconds=1000.0 / PACE.fps), images),
        ]
        for job in jobs:
            job.result()


def _affordable(result: Any, spent: float, cost: float) -> int:
    """Return how many images of a duration [s] fit into `TIME_FRACTION` of the time of the morph, within the limits."""
    budget = TIME_FRACTION * sum(result.timings.values()) - spent
    return max(FEWEST_IMAGES, min(MOST_IMAGES, int(budget / max(cost, 1e-9))))


def comparison(rows: Sequence[tuple[str, Sequence[Array]]]) -> Array:
    """Stack rows of images, each below its title.

    Args:
        rows: Title and images of equal size, uint8, shape (H, W, 3) or (H, W, 4). The top left pixel of the first image
            in a row is the background of its title.

    Returns:
        Image, uint8, shape (height, width, 3) or (height, width, 4).
    """
    parts = []
    for title, images in rows:
        strip = np.concatenate(list(images), axis=1)
        height = max(TITLE_HEIGHT, TITLE_HEIGHT * len(strip) // 420)
        parts += [_title(title, strip.shape[1], strip[0, 0], height), strip]
    return np.concatenate(parts, axis=0)


def contact_sheet(images: Sequence[Array], columns: int = 4, gap: int = 4) -> Array:
    """Arrange images in reading order.

    Args:
        images: Images of equal size, uint8, shape (H, W, 3) or (H, W, 4); at least one.
        columns: Images per row.
        gap: Space between them [px], in the colour of the top left pixel of the first image.

    Returns:
        Image, uint8, shape (height, width, 3) or (height, width, 4).

    Raises:
        ConfigError: If there is no image.
    """
    if not images:
        raise ConfigError("images: expected at least one image, got none")
    height, width, channels = images[0].shape
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = np.empty((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), np.uint8)
    sheet[:] = images[0][0, 0]
    for index, image in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


class _Scene:
    """Cameras and colours of all images of a morph."""

    def __init__(self, result: Any, config: RenderConfig) -> None:
        points = np.concatenate([result.source_x, result.target_x, result.x])
        samples = min(MOST_SAMPLES, SAMPLES_PER_PARTICLE * len(result.x))
        self._config = config.replace(samples=samples, camera=()).upright(result)
        self._points, self._result = points[:: max(1, len(points) // FITTED_POINTS)], result

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
            ("target", result.target_x, target_colors(result, config)),
            ("result", result.x, own(last)),
        )
        bodies = self._scene_bodies()
        for name, x, colors in rows:
            body = bodies.get(name) or BodyMaker(x, colors, config)(x)
            views = ((partial(_same, body), camera) for camera in cameras)
            yield name, list(draw_all(views, config))

    @cached_property
    def _scenes(self) -> CarriedScenes | None:
        return drawn_scenes(self._result, self._config)

    def _scene_bodies(self) -> dict[str, Drawable]:
        """Return the images of trained scenes by name."""
        frames, scenes = self._result.frames, self._scenes
        if scenes is None:
            return {}
        bodies: dict[str, Drawable] = {"source": SceneBody(scenes(frames[0])), "result": SceneBody(scenes(frames[-1]))}
        target = self._result.scene("target")
        return bodies if target is None else {**bodies, "target": SceneBody(target)}

    def film(self, count: int) -> tuple[Iterator[Array], int]:
        """Return the images of the animation, `count` different ones, and their number with the repeated ones.

        They are drawn from a subset of the particles of a very large body, unless they show trained scenes.
        """
        result, subset = self._result, thinned(self._result.source_x, FILM_PARTICLES)
        frames = [SimpleNamespace(x=frame.x[subset], time=frame.time) for frame in result.frames]
        legs = [
            SimpleNamespace(last=leg.last, rest_color=None if leg.rest_color is None else leg.rest_color[subset])
            for leg in getattr(result, "legs", ())
        ]
        arrays = {name: getattr(result, name, None) for name in ("source_x", "source_color", "rest_color")}
        parts = {name: None if array is None else array[subset] for name, array in arrays.items()}
        body: Any = SimpleNamespace(frames=frames, legs=legs, loop=getattr(result, "loop", False), **parts)
        if self._scenes is not None:
            body = result
        timeline = overview_timeline(body, count)
        total = len(timeline.poses(body))
        return render_frames(body, self._config.replace(every=1), timeline=timeline), total


def overview_timeline(result: Any, count: int) -> Timeline:
    """Return the timeline of the animation, with `count` different images of a morph with several frames."""
    motions = max(1, len(getattr(result, "legs", ())))
    holds = motions if getattr(result, "loop", False) else motions + 1
    images = max(count, motions + 1) + holds * round(PACE.hold * PACE.fps)
    return PACE.replace(duration=images / PACE.fps)


def target_colors(result: Any, config: RenderConfig) -> Array:
    """Return the colours of the sample of the target, shape (M, 3) or (3,): its own, if it has any and they are shown.

    Args:
        result: A `MorphResult` or `Progress`.
        config: Options.
    """
    color = getattr(result, "target_color", None)
    return np.array(TARGET_COLOR) if color is None or config.color != "auto" else display_color(color)


def _same(body: Drawable) -> Drawable:
    return body


def thinned(x: Array, most: int) -> slice | Array:
    """Return the index of at most about `most` points that are spread evenly, of all if there are no more."""
    if len(x) <= most:
        return slice(None)
    return np.flatnonzero(_core.thin_evenly(np.ascontiguousarray(x, dtype=np.float64), most, 0))


def _evenly(images: Sequence[Array], count: int) -> list[Array]:
    """Return at most `count` images at even intervals, including the first and the last."""
    if len(images) <= count:
        return list(images)
    return [images[index] for index in np.linspace(0, len(images) - 1, count).round().astype(int)]


def _label(name: str, result: Any) -> str:
    text = {"source": result.source_name, "target": result.target_name}.get(name, "")
    if name == "result":
        value = result.metrics.get("silhouette_iou")
        text = "" if value is None else f"silhouette IoU {value:.3f}"
    return f"{name}   {text}".rstrip()


def _title(text: str, width: int, paper: Array, height: int = TITLE_HEIGHT) -> Array:
    """Return a strip with a text that is readable on its background, of the shape (height, width, len(paper))."""
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("RGB" if len(paper) == 3 else "RGBA", (width, height), tuple(paper.tolist()))
    ink = INKS[0] if len(paper) == 4 else INKS[1 if paper.mean() > 127.0 else 2]
    font = ImageFont.truetype(_font(), 11 * height // TITLE_HEIGHT)
    ImageDraw.Draw(strip).text((10, height // 2), printable(text), fill=ink, font=font, anchor="lm")
    return np.asarray(strip)


def _font() -> Path:
    """Return Matplotlib's font with accents, Greek and Cyrillic, without the slow import of Matplotlib."""
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
