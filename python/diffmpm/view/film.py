# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Image and film files: PNG, GIF, WebP, MP4, each written atomically."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array, as_positive
from ..errors import ConfigError, OutputError, optional_package
from ..export import lock_folder, write_bytes, write_file, write_together
from ..export.atomic import in_parallel
from .config import RenderConfig

FORMATS: tuple[str, ...] = ("png", "gif", "webp", "mp4")
"""Formats of `save_film`."""
_TICK, _FEWEST_TICKS = 10.0, 2
"""Unit of the delays of an animation [ms], and the shortest delay that browsers do not slow down."""
_PALETTE_IMAGES, _PALETTE_PIXELS = 24, 150_000
"""Images that the palette of a GIF is computed from, and about how many of their pixels."""
_DITHER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.int16)[..., None] // 2 - 4
"""Ordered dithering (Bayer 1973) of a GIF. Without it, 255 colours show as bands on a smooth body."""
_PNG_LEVEL = 4
"""Compression level. Level 6 takes almost twice as long and saves a twelfth, the highest ten times as long."""
_WEBP = {"quality": 90, "method": 2, "kmax": 1}
"""Visibly lossless, and as fast as a GIF. Each image is complete: changes to the one before leave blocks in shadows."""
_QUALITY = "18"
"""Constant rate factor of H.264: visually lossless."""
_PROTOCOLS = ["-protocol_whitelist", "file,pipe,fd"]
"""Limits the encoder to files and pipes."""
_COLORS = (
    "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int,format=yuv420p,"
    "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
)
"""Filters that convert to BT.709 and tag the file with it; players assume other colours for untagged films."""


def save_film(
    images: Iterable[Array],
    out: str | os.PathLike[str],
    *,
    formats: Sequence[str] = ("png", "gif"),
    fps: float = 15.0,
    name: str = "morph",
    force: bool = False,
) -> list[Path]:
    """Write images as `png/NAME_0000.png` and so on, `NAME.gif`, `NAME.webp` and `NAME.mp4`, in a single pass.

    Args:
        images: Images of equal size, uint8, shape (H, W, 3) or (H, W, 4); at least one.
        out: Folder, made if needed. Images and films of an earlier call are replaced.
        formats: Names from "png", "gif", "webp" (all colours, and smaller than GIF) and "mp4".
        fps: Images per second. Browsers play GIF and WebP at 50 or fewer, so beyond that they leave out images.
        name: First part of the file names.
        force: Replace files that DiffMPM did not write.

    Returns:
        The films, and the folder of the PNG files.

    Raises:
        ConfigError: If there is no image, or a format is unknown.
        MissingPackageError: If `formats` includes "mp4" and imageio-ffmpeg is not installed.
        OutputError: If a file cannot be written, other files are in the way, or the folder is in use. Existing files
            are unchanged then, as after an interruption.
    """
    formats = check_formats(formats)
    as_positive(fps, "fps")
    targets = {"png": "png/", "gif": f"{name}.gif", "webp": f"{name}.webp", "mp4": f"{name}.mp4"}
    animated: list[Array] = []
    with (
        lock_folder(out) as folder,
        write_together(folder, by="render", whole=[targets[f] for f in formats], force=force) as stage,
        _mp4(stage / targets["mp4"], fps) if "mp4" in formats else nullcontext() as add_to_mp4,
    ):
        count = 0
        for count, image in enumerate(images, 1):
            if "png" in formats:
                stage.write(f"png/{name}_{count - 1:04d}.png", encode_png(image))
            if add_to_mp4 is not None:
                add_to_mp4(image)
            if {"gif", "webp"} & set(formats):
                animated.append(image)
        if count == 0:
            raise ConfigError("images: expected at least one image, got none")
        if "gif" in formats:
            stage.write(targets["gif"], encode_gif(animated, milliseconds=1000.0 / fps))
        if "webp" in formats:
            stage.write(targets["webp"], encode_webp(animated, milliseconds=1000.0 / fps))
    return [folder / targets[f] for f in FORMATS if f in formats]


def check_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """Return the formats of a film without duplicates, after checking that they are known and available."""
    unique = tuple(dict.fromkeys((formats,) if isinstance(formats, str) else formats))
    unknown = [repr(f) for f in unique if f not in FORMATS]
    if unknown or not unique:
        raise ConfigError(f"format: expected names from {', '.join(FORMATS)}, got {unknown[0] if unknown else 'none'}")
    if "mp4" in unique:
        _ffmpeg()
    return unique


def save_png(path: str | os.PathLike[str], image: Array) -> Path:
    """Write an image, uint8, shape (H, W, 3) or (H, W, 4), as PNG."""
    return write_bytes(path, encode_png(image))


def encode_png(image: Array) -> bytes:
    """Return the bytes that `save_png` writes."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG", compress_level=_PNG_LEVEL)
    return stream.getvalue()


def opaque(image: Array) -> Array:
    """Return an image without alpha channel, over the default background."""
    if image.shape[2] == 3:
        return image
    alpha = image[..., 3:] / np.float32(255.0)
    over = alpha * image[..., :3] + (1.0 - alpha) * 255.0 * np.array(RenderConfig.background, np.float32)
    return np.asarray(np.rint(over)).astype(np.uint8)


def save_gif(path: str | os.PathLike[str], images: Sequence[Array], *, milliseconds: float = 60.0) -> Path:
    """Write images as an endless animation. Equal consecutive images are stored once.

    All images share one palette and one pattern of dithering, so that static areas do not flicker.

    Args:
        path: GIF file.
        images: Images of equal size, uint8, shape (H, W, 3) or (H, W, 4); at least one.
        milliseconds: Duration of an image. Browsers slow down durations below 20 ms, so images that would be shown
            for less are left out.

    Raises:
        ConfigError: If there is no image.
    """
    return write_bytes(path, encode_gif(images, milliseconds=milliseconds))


def encode_gif(images: Sequence[Array], *, milliseconds: float = 60.0) -> bytes:
    """Return the bytes that `save_gif` writes."""
    from PIL import Image

    if not images:
        raise ConfigError("images: expected at least one image, got none")
    sample = np.linspace(0, len(images) - 1, min(len(images), _PALETTE_IMAGES)).round().astype(int)
    height, width = images[0].shape[:2]
    step = max(1, round((len(sample) * height * width / _PALETTE_PIXELS) ** 0.5))
    joined = Image.fromarray(np.concatenate([opaque(images[n][::step, ::step]) for n in sample], axis=0))
    palette = joined.quantize(colors=255, method=Image.Quantize.MEDIANCUT)

    pattern = np.tile(_DITHER, (-(-height // 4), -(-width // 4), 1))[:height, :width]

    def reduced(image: Array) -> Any:
        solid = opaque(image)
        plain = (solid == solid[0, 0]).all(axis=2, keepdims=True)  # the background
        dithered = np.where(plain, solid, np.clip(solid + pattern, 0, 255)).astype(np.uint8)
        # A copy of the palette for each image: Pillow caches lookups in it, which threads must not share.
        return Image.fromarray(dithered).quantize(palette=palette.copy(), dither=Image.Dither.NONE)

    shown, durations = _timing(images, milliseconds)
    return _animation("GIF", in_parallel(reduced, [images[n] for n in shown]), durations)


def encode_webp(images: Sequence[Array], *, milliseconds: float = 60.0) -> bytes:
    """Return the bytes of the animation of `save_gif` as WebP, which has all colours."""
    from PIL import Image

    if not images:
        raise ConfigError("images: expected at least one image, got none")
    shown, durations = _timing(images, milliseconds)
    return _animation("WEBP", [Image.fromarray(images[n]) for n in shown], durations, **_WEBP)


def _animation(name: str, pages: Sequence[Any], durations: list[int], **options: int) -> bytes:
    stream = io.BytesIO()
    pages[0].save(stream, format=name, save_all=True, append_images=pages[1:], duration=durations, loop=0, **options)
    return stream.getvalue()


def _timing(images: Sequence[Array], milliseconds: float) -> tuple[list[int], list[int]]:
    """Return which images an animation shows and for how long [ms]. Rounding errors of the durations do not add up."""
    count = len(images)
    ticks = np.rint(np.arange(count + 1) * milliseconds / _TICK).astype(int)
    shown = [0]
    for n in range(1, count):
        if images[n] is images[n - 1]:
            continue
        if ticks[n] - ticks[shown[-1]] >= _FEWEST_TICKS:
            shown.append(n)
        elif n == count - 1:
            shown[-1] = n
    starts = [0, *ticks[shown[1:]], max(ticks[-1], ticks[shown[-1]] + _FEWEST_TICKS)]
    return shown, [int(_TICK) * int(length) for length in np.diff(starts)]


def save_mp4(path: str | os.PathLike[str], images: Iterable[Array], *, fps: float = 15.0) -> Path:
    """Write images as an H.264 film.

    Args:
        path: MP4 file.
        images: Images of equal size, uint8, shape (H, W, 3) or (H, W, 4); at least one. H.264 needs even sizes: if a
            side is odd, the last row or column is repeated.
        fps: Images per second.

    Raises:
        ConfigError: If there is no image.
        MissingPackageError: If imageio-ffmpeg is not installed.
    """
    with _mp4(Path(path), as_positive(fps, "fps")) as add:
        for image in images:
            add(image)
    return Path(path)


def _ffmpeg() -> Any:
    return optional_package("imageio_ffmpeg", "imageio-ffmpeg", "mp4", "video")


def _even(image: Array) -> Array:
    """Return an image of even height and width; the last row and column may be repeated."""
    height, width = image.shape[:2]
    return np.ascontiguousarray(np.pad(opaque(image), ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


@contextmanager
def _mp4(path: Path, fps: float) -> Iterator[Callable[[Array], None]]:
    """Yield a function that adds an image to a film, which replaces `path` if the block ends without an error."""
    encoder: Any = None

    def add(image: Array) -> None:
        nonlocal encoder
        even = _even(image)
        if encoder is None:
            encoder = _ffmpeg().write_frames(
                f"file:{temporary.resolve()}",  # so that no name is parsed as a protocol or an option
                even.shape[1::-1],
                fps=fps,
                codec="libx264",
                quality=None,
                macro_block_size=1,
                input_params=_PROTOCOLS,
                output_params=[*_PROTOCOLS, "-vf", _COLORS, "-crf", _QUALITY, "-movflags", "+faststart"],
                ffmpeg_log_level="error",
            )
            encoder.send(None)
        try:
            encoder.send(even)
        except OSError as error:
            raise OutputError(
                f"out: the video encoder stopped ({error}); free some space or choose another folder"
            ) from error

    with write_file(path) as temporary:
        try:
            yield add
            if encoder is None:
                raise ConfigError("images: expected at least one image, got none")
        finally:
            if encoder is not None:
                encoder.close()
        _check_film(temporary, path)


def _check_film(written: Path, path: Path) -> None:
    """Refuse an incomplete film: the encoder does not report a full disk."""
    size, at, boxes = written.stat().st_size if written.exists() else 0, 0, set()
    with open(written if size else os.devnull, "rb") as stream:
        while at + 16 <= size:
            stream.seek(at)
            length, box, long_length = struct.unpack(">I4sQ", stream.read(16))
            boxes.add(box)
            at += (long_length if length == 1 else length) or size + 1  # a length of 0 is never complete
    if at != size or not {b"moov", b"mdat"} <= boxes:
        raise OutputError(
            f"out: the video encoder could not finish {str(path)!r}; nothing was changed; free some space or "
            "choose another folder and run again"
        )
