# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Pictures of a morph: comparison from the same views, contact sheet, animation."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array
from ..errors import ConfigError
from ..export import Stage, lock_folder, write_together
from .body import bodies
from .camera import orbit
from .colors import material_colors
from .config import RenderConfig
from .film import encode_gif, encode_png
from .plots import encode_loss_plot
from .render import draw_all, floor_of, render_frames
from .text import shown

PICTURES = {
    "pictures": (
        "source.png",
        "target.png",
        "result.png",
        "comparison.png",
        "contact_sheet.png",
        "morph.gif",
        "loss.png",
    )
}
"""All that `save_pictures` writes, by writer."""
VIEWS = ((35.0, 18.0), (125.0, 18.0), (-70.0, 40.0))
"""Azimuth and elevation [degrees] of the comparison."""
MOST_SAMPLES, SAMPLES_A_PARTICLE = 20_000, 8
"""Gaussians of these small pictures: at most the first, and the second for each particle of a small body."""
FILM_PARTICLES = 40_000
"""Particles of the animation at most: as many as fill the cells of the default resolution."""
FITTED_POINTS = 100_000
"""Points, about, that the cameras fit into their pictures."""
TARGET_COLOR = (0.66, 0.68, 0.73)
INK = (52, 58, 70)
PAPER = (247, 248, 250)


def save_pictures(
    result: Any,
    out: str | os.PathLike[str],
    *,
    size: int = 420,
    up: str | None = None,
    gif_frames: int = 40,
    force: bool = False,
) -> list[Path]:
    """Write all pictures of a morph: source, target, result, comparison, contact sheet, animation, loss plot.

    Args:
        result: A `MorphResult`.
        out: Folder, made if needed.
        size: Height and width of one picture in pixels.
        up: Axis that is up: "x", "y" or "z"; that of the morph if None.
        gif_frames: Number of pictures of the animation; between frames the particles move on straight lines.
        force: Whether files that this program did not write may be replaced, too.

    Returns:
        The files.

    Raises:
        ConfigError: If an option does not fit.
        OutputError: If a file cannot be written, other files are in the way, or somebody else writes into the folder.
    """
    ((writer, names),) = PICTURES.items()
    with lock_folder(out) as folder, write_together(folder, by=writer, whole=names, force=force) as stage:
        _save_all(result, stage, size, up, gif_frames)
    return [folder / name for name in names]


def _save_all(result: Any, new: Stage, size: int, up: str | None, gif_frames: int) -> None:
    stage = _Stage(result, size, up)
    title = f"{result.source_name} to {result.target_name}, {len(result.x)} particles"
    with ThreadPoolExecutor() as pool:

        def save(name: str, encode: Callable[..., bytes], *content: Any) -> Future[None]:
            return pool.submit(lambda: new.write(name, encode(*content)))

        jobs = [save("loss.png", encode_loss_plot, result.history, title)]
        rows = list(stage.rows())
        images = stage.film(gif_frames)
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
    """Stack rows of pictures, each below its title.

    Args:
        rows: Title and pictures of equal size, uint8, shape (H, W, 3) each.

    Returns:
        Image, uint8, shape (height, width, 3).
    """
    parts = []
    for title, images in rows:
        strip = np.concatenate(list(images), axis=1)
        parts += [_title(title, strip.shape[1]), strip]
    return np.concatenate(parts, axis=0)


def contact_sheet(images: Sequence[Array], columns: int = 4, gap: int = 4) -> Array:
    """Lay pictures out in reading order.

    Args:
        images: Pictures of equal size, uint8, shape (H, W, 3) each; at least one.
        columns: Pictures a row.
        gap: Pixels between them.

    Returns:
        Image, uint8, shape (height, width, 3).

    Raises:
        ConfigError: If there is no picture.
    """
    if not images:
        raise ConfigError("images: expected at least one picture, got none")
    height, width = images[0].shape[:2]
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = np.empty((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), np.uint8)
    sheet[:] = PAPER
    for index, image in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


@dataclass(frozen=True)
class _Moment:
    """Body between two frames."""

    x: Array
    G: Array


@dataclass(frozen=True)
class _Start:
    """Body where the film starts, which its colours follow from."""

    source_x: Array


class _Stage:
    """Cameras, colours and floor that all pictures of a morph share."""

    def __init__(self, result: Any, size: int, up: str | None) -> None:
        everything = np.concatenate([result.source_x, result.target_x, result.x])
        samples = min(MOST_SAMPLES, SAMPLES_A_PARTICLE * len(result.x))
        self._config = RenderConfig(size=size, up=up, samples=samples).upright(result)
        self._everything, self._result = everything[:: max(1, len(everything) // FITTED_POINTS)], result
        self._floor = floor_of([everything, *(frame.x for frame in result.frames)], self._config.axis)

    def rows(self) -> Iterator[tuple[str, list[Array]]]:
        """Yield the name and the views of source, target and result."""
        views = {"size": self._config.size, "up": self._config.axis}
        cameras = [orbit(self._everything, azimuth=a, elevation=e, **views) for a, e in VIEWS]  # type: ignore[arg-type]
        result = self._result
        for name, x, F in (
            ("source", result.source_x, None),
            ("target", result.target_x, None),
            ("result", result.x, result.G),
        ):
            colors = np.array(TARGET_COLOR) if name == "target" else material_colors(result.source_x, self._config.axis)
            grads = np.broadcast_to(np.eye(3, dtype=np.float32), (len(x), 3, 3)).copy() if F is None else F
            body = next(bodies([(x, grads)], colors, self._config))
            yield name, list(draw_all(((body, camera) for camera in cameras), self._config, self._floor))

    def film(self, count: int) -> list[Array]:
        """Return the pictures of the animation, drawn of some of the particles where there are very many."""
        x = np.ascontiguousarray(self._result.source_x, dtype=np.float64)
        few = len(x) <= FILM_PARTICLES
        chosen = slice(None) if few else np.flatnonzero(_core.thin_evenly(x, FILM_PARTICLES, 0))
        moments = [_Moment(frame.x[chosen], frame.G[chosen]) for frame in self._result.frames]
        start = _Start(self._result.source_x[chosen])
        return list(render_frames(start, self._config, frames=_between(moments, count)))


def _evenly(frames: Sequence[Any], count: int) -> list[Any]:
    """Return at most `count` frames, evenly spaced, the first and last among them."""
    if len(frames) <= count:
        return list(frames)
    return [frames[index] for index in np.linspace(0, len(frames) - 1, count).round().astype(int)]


def _between(frames: Sequence[Any], count: int) -> list[_Moment]:
    """Return the body at evenly spaced moments, the first and last frame among them."""
    film = []
    for moment in np.linspace(0, len(frames) - 1, count):
        index = min(int(moment), max(len(frames) - 2, 0))
        share = np.float32(moment - index)
        now, after = frames[index], frames[min(index + 1, len(frames) - 1)]
        film.append(_Moment((1 - share) * now.x + share * after.x, (1 - share) * now.G + share * after.G))
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
    ImageDraw.Draw(strip).text((10, height // 2 - 6), shown(text), fill=INK, font=font)
    return np.asarray(strip)


def _font() -> Path:
    """Return a font with accents, Greek and Cyrillic: that of Matplotlib, which takes longer to import than to draw."""
    found = importlib.util.find_spec("matplotlib")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
