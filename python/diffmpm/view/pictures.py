# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Pictures of a morph: comparison from the same views, contact sheet, animation."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array
from ..errors import ConfigError
from ..export import check_folder, write_bytes
from .camera import Camera, orbit, up_vector
from .plots import save_loss_plot
from .splat import material_colors, render_particles

VIEWS = ((35.0, 18.0), (125.0, 18.0), (-70.0, 40.0))
"""Azimuth and elevation [degrees] of the comparison."""
TARGET_COLOR = (0.66, 0.68, 0.73)
INK = (52, 58, 70)
PAPER = (247, 248, 250)


def save_pictures(
    result: Any, out: str | os.PathLike[str], *, size: int = 420, up: str = "z", gif_frames: int = 40
) -> list[Path]:
    """Write all pictures of a morph: source, target, result, comparison, contact sheet, animation, loss plot.

    Args:
        result: A `MorphResult`.
        out: Folder, made if needed.
        size: Height and width of one picture in pixels.
        up: Axis that is up: "x", "y" or "z".
        gif_frames: Number of pictures of the animation; between frames the particles move on straight lines.

    Returns:
        The files.

    Raises:
        ConfigError: If an option does not fit.
        OutputError: If a file cannot be written.
    """
    folder = check_folder(out)
    stage = _Stage(result, size, up)
    bodies = {"source": result.source_x, "target": result.target_x, "result": result.x}
    written, rows = [], []
    for name, x in bodies.items():
        colors = TARGET_COLOR if name == "target" else stage.colors
        views = [stage.draw(x, camera, colors) for camera in stage.cameras]
        written.append(save_png(folder / f"{name}.png", np.concatenate(views, axis=1)))
        rows.append((_label(name, result), views))
    written.append(save_png(folder / "comparison.png", comparison(rows)))
    stage.size = max(8, int(0.8 * size))
    sheet = [stage.draw(frame.x, stage.cameras[0], stage.colors) for frame in _evenly(result.frames, 12)]
    written.append(save_png(folder / "contact_sheet.png", contact_sheet(sheet, columns=4)))
    film = _film([frame.x for frame in result.frames], gif_frames)
    images = [stage.draw(x, stage.cameras[0], stage.colors) for x in film]
    written.append(save_gif(folder / "morph.gif", images))
    title = f"{result.source_name} to {result.target_name}, {len(result.x)} particles"
    written.append(save_loss_plot(result.history, folder / "loss.png", title))
    return written


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


def save_png(path: str | os.PathLike[str], image: Array) -> Path:
    """Write an image, uint8, shape (H, W, 3), as PNG.

    Raises:
        OutputError: If it cannot be written.
    """
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG", optimize=True)
    return write_bytes(path, stream.getvalue())


def save_gif(path: str | os.PathLike[str], images: Sequence[Array], *, milliseconds: int = 60) -> Path:
    """Write pictures as an endless animation that holds its first and last picture.

    Args:
        path: GIF file.
        images: Pictures of equal size, uint8, shape (H, W, 3) each; at least one.
        milliseconds: Time of one picture.

    Returns:
        The file.

    Raises:
        ConfigError: If there is no picture.
        OutputError: If it cannot be written.
    """
    from PIL import Image

    if not images:
        raise ConfigError("images: expected at least one picture, got none")
    shared = Image.fromarray(np.concatenate([images[0], images[len(images) // 2], images[-1]], axis=0))
    palette = shared.quantize(colors=255, method=Image.Quantize.MEDIANCUT)
    pages = [Image.fromarray(image).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for image in images]
    times = [milliseconds] * len(pages)
    times[0], times[-1] = 12 * milliseconds, 25 * milliseconds
    stream = io.BytesIO()
    pages[0].save(stream, format="GIF", save_all=True, append_images=pages[1:], duration=times, loop=0)
    return write_bytes(path, stream.getvalue())


class _Stage:
    """Cameras, colours and floor that all pictures of a morph share."""

    def __init__(self, result: Any, size: int, up: str) -> None:
        everything = np.concatenate([result.source_x, result.target_x, result.x])
        self.size = size
        self.cameras = [orbit(everything, azimuth=a, elevation=e, up=up) for a, e in VIEWS]
        self.colors = material_colors(result.source_x, up)
        volume = np.prod(np.ptp(result.target_x.astype(np.float64), axis=0))
        self.floor = float((np.concatenate([result.target_x, result.x]) @ up_vector(up)).min())
        self.floor -= 0.02 * float(volume) ** (1 / 3)
        self.radius = _radius(result.target_x)

    def draw(self, x: Array, camera: Camera, colors: object) -> Array:
        """Return the picture of one body."""
        return render_particles(
            x, camera, size=self.size, colors=colors, radius=self.radius, floor=min(self.floor, self._low(x, camera))
        )

    def _low(self, x: Array, camera: Camera) -> float:
        return float((x.astype(np.float64) @ np.asarray(camera.up)).min()) - self.radius


def _radius(x: Array) -> float:
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(x).query(x, min(2, len(x)))
    return float(np.median(distance[:, -1])) * 0.95


def _evenly(frames: Sequence[Any], count: int) -> list[Any]:
    """Return at most `count` frames, evenly spaced, the first and last among them."""
    if len(frames) <= count:
        return list(frames)
    return [frames[index] for index in np.linspace(0, len(frames) - 1, count).round().astype(int)]


def _film(paths: Sequence[Array], count: int) -> list[Array]:
    """Return positions at evenly spaced moments, the first and last frame among them."""
    film = []
    for moment in np.linspace(0, len(paths) - 1, count):
        index = min(int(moment), len(paths) - 2) if len(paths) > 1 else 0
        share = np.float32(moment - index)
        after = paths[min(index + 1, len(paths) - 1)]
        film.append((1 - share) * paths[index] + share * after)
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
    font = ImageFont.load_default()
    ImageDraw.Draw(strip).text((10, height // 2 - 6), text, fill=INK, font=font)
    return np.asarray(strip)
