# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Picture files: PNG, GIF, MP4, each written whole or not at all."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array, as_positive
from ..errors import ConfigError, MissingPackageError, OutputError
from ..export import lock_folder, write_bytes, write_file, write_together
from ..export.atomic import in_parallel

FORMATS: tuple[str, ...] = ("png", "gif", "mp4")
"""What `save_film` can write."""
_HOLD_FIRST, _HOLD_LAST = 0.6, 1.2
"""Time [s] that an animation rests on its first and last picture."""
_PALETTE_PICTURES = 6
"""Pictures that a GIF's palette is made from."""
_PNG_LEVEL = 6
"""Compression: the highest takes ten times as long for an eighth less."""
_QUALITY = "18"
"""Constant rate factor of H.264: visually lossless."""
_PROTOCOLS = ["-protocol_whitelist", "file,pipe,fd"]
"""What the encoder may read from and write to: files and open pipes."""
_COLORS = (
    "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int,format=yuv420p,"
    "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
)
"""Filters that convert to BT.709 and say so in the file; players take other numbers for untagged films."""


def save_film(
    images: Iterable[Array],
    out: str | os.PathLike[str],
    *,
    formats: Sequence[str] = ("png", "gif"),
    fps: float = 15.0,
    name: str = "morph",
    force: bool = False,
) -> list[Path]:
    """Write pictures as they come: `png/NAME_0000.png` and so on, `NAME.gif`, `NAME.mp4`.

    Args:
        images: Pictures of equal size, uint8, shape (H, W, 3) each; at least one.
        out: Folder, made if needed. Pictures and films of an earlier call are replaced.
        formats: Names from "png", "gif" and "mp4".
        fps: Pictures a second.
        name: First part of the file names.
        force: Whether files that this program did not write may be replaced, too.

    Returns:
        The files, and the folder of the PNGs.

    Raises:
        ConfigError: If there is no picture, or a format is unknown.
        MissingPackageError: If "mp4" is asked for and imageio-ffmpeg is not installed.
        OutputError: If a file cannot be written, other files are in the way, or somebody else writes into the folder.
            Then, as after an interruption, what stood there before is untouched.
    """
    wanted = check_formats(formats)
    as_positive(fps, "fps")
    places = {"png": "png/", "gif": f"{name}.gif", "mp4": f"{name}.mp4"}
    kept: list[Array] = []
    with (
        lock_folder(out) as folder,
        write_together(folder, by="render", whole=[places[kind] for kind in wanted], force=force) as stage,
        _mp4(stage / places["mp4"], fps) if "mp4" in wanted else nullcontext() as mp4,
    ):
        count = 0
        for count, image in enumerate(images, 1):
            if "png" in wanted:
                stage.write(f"png/{name}_{count - 1:04d}.png", encode_png(image))
            if mp4 is not None:
                mp4.add(image)
            if "gif" in wanted:
                kept.append(image)
        if count == 0:
            raise ConfigError("images: expected at least one picture, got none")
        if "gif" in wanted:
            stage.write(places["gif"], encode_gif(kept, milliseconds=round(1000.0 / fps)))
    return [folder / places[kind] for kind in FORMATS if kind in wanted]


def check_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """Return the formats of a film, checked, each once.

    Raises:
        ConfigError: If one is unknown, or there is none.
        MissingPackageError: If "mp4" is among them and imageio-ffmpeg is not installed.
    """
    wanted = tuple(dict.fromkeys((formats,) if isinstance(formats, str) else formats))
    for kind in wanted:
        if kind not in FORMATS:
            raise ConfigError(f"format: expected names from {', '.join(FORMATS)}, got {kind!r}")
    if not wanted:
        raise ConfigError(f"format: expected names from {', '.join(FORMATS)}, got none")
    if "mp4" in wanted:
        _ffmpeg()
    return wanted


def save_png(path: str | os.PathLike[str], image: Array) -> Path:
    """Write an image, uint8, shape (H, W, 3), as PNG.

    Raises:
        OutputError: If it cannot be written.
    """
    return write_bytes(path, encode_png(image))


def encode_png(image: Array) -> bytes:
    """Return the bytes of the file that `save_png` writes."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG", compress_level=_PNG_LEVEL)
    return stream.getvalue()


def save_gif(path: str | os.PathLike[str], images: Sequence[Array], *, milliseconds: int = 60) -> Path:
    """Write pictures as an endless animation that rests on its first and last picture.

    All pictures share one palette and are not dithered, so that what does not move does not flicker.

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
    return write_bytes(path, encode_gif(images, milliseconds=milliseconds))


def encode_gif(images: Sequence[Array], *, milliseconds: int = 60) -> bytes:
    """Return the bytes of the file that `save_gif` writes."""
    from PIL import Image

    if not images:
        raise ConfigError("images: expected at least one picture, got none")
    some = np.linspace(0, len(images) - 1, min(len(images), _PALETTE_PICTURES)).round().astype(int)
    shared = Image.fromarray(np.concatenate([images[n] for n in some], axis=0))
    palette = shared.quantize(colors=255, method=Image.Quantize.MEDIANCUT)

    def reduced(image: Array) -> Any:
        # A palette of its own: Pillow keeps what it looks up in it, which several threads must not share.
        return Image.fromarray(image).quantize(palette=palette.copy(), dither=Image.Dither.NONE)

    pages = in_parallel(reduced, images)
    times = [milliseconds] * len(pages)
    times[0], times[-1] = max(milliseconds, round(1000 * _HOLD_FIRST)), max(milliseconds, round(1000 * _HOLD_LAST))
    stream = io.BytesIO()
    pages[0].save(stream, format="GIF", save_all=True, append_images=pages[1:], duration=times, loop=0)
    return stream.getvalue()


def save_mp4(path: str | os.PathLike[str], images: Iterable[Array], *, fps: float = 15.0) -> Path:
    """Write pictures as an H.264 film that rests on its first and last picture.

    Args:
        path: MP4 file.
        images: Pictures of equal size, uint8, shape (H, W, 3) each; at least one. Where a side is odd, the last row or
            column comes twice.
        fps: Pictures a second.

    Returns:
        The file.

    Raises:
        ConfigError: If there is no picture.
        MissingPackageError: If imageio-ffmpeg is not installed.
        OutputError: If it cannot be written.
    """
    count = 0
    with _mp4(Path(path), as_positive(fps, "fps")) as film:
        for count, image in enumerate(images, 1):  # noqa: B007
            film.add(image)
        if count == 0:
            raise ConfigError("images: expected at least one picture, got none")
    return Path(path)


def _ffmpeg() -> Any:
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise MissingPackageError(
            "imageio-ffmpeg: needed for mp4 and not installed; pip install 'diffmpm[video]'"
        ) from error
    return imageio_ffmpeg


class _Film:
    """Encoder that is started by the first picture."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._encoder: Any = None
        self._last: Array | None = None

    def add(self, image: Array) -> None:
        first = self._encoder is None
        if first:
            height, width = _even(image).shape[:2]
            self._encoder = _ffmpeg().write_frames(
                f"file:{self._path.resolve()}",  # no name is a protocol or an option
                (width, height),
                fps=self._fps,
                codec="libx264",
                quality=None,
                macro_block_size=1,
                input_params=_PROTOCOLS,
                output_params=[*_PROTOCOLS, "-vf", _COLORS, "-crf", _QUALITY, "-movflags", "+faststart"],
                ffmpeg_log_level="error",
            )
            self._encoder.send(None)
        self._send(image, 1 + (round(_HOLD_FIRST * self._fps) if first else 0))
        self._last = image

    def finish(self) -> None:
        if self._last is not None:
            self._send(self._last, round(_HOLD_LAST * self._fps))
        self.close()

    def close(self) -> None:
        if self._encoder is not None:
            self._encoder.close()

    def _send(self, image: Array, times: int) -> None:
        try:
            for _ in range(times):
                self._encoder.send(_even(image))
        except OSError as error:
            raise OutputError(
                f"out: the video encoder stopped ({error}); free some space or choose another folder"
            ) from error


def _even(image: Array) -> Array:
    """Return a picture of even height and width, as films have them: the last row and column may come twice."""
    height, width = image.shape[:2]
    return np.ascontiguousarray(np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


@contextmanager
def _mp4(path: Path, fps: float) -> Iterator[_Film]:
    """Yield a film that takes the place of `path` when the block ends without an error."""
    with write_file(path) as temporary:
        film = _Film(temporary, fps)
        try:
            yield film
            film.finish()
        finally:
            film.close()
        _check_film(temporary, path)


def _check_film(written: Path, path: Path) -> None:
    """Refuse a film that the encoder could not finish: it ends without a word to its caller then."""
    size, at, kinds = written.stat().st_size if written.exists() else 0, 0, set()
    with open(written if size else os.devnull, "rb") as stream:
        while at + 16 <= size:
            stream.seek(at)
            length, kind, longer = struct.unpack(">I4sQ", stream.read(16))
            kinds.add(kind)
            at += (longer if length == 1 else length) or size + 1  # a length of 0 waits for the end
    if at != size or not {b"moov", b"mdat"} <= kinds:
        raise OutputError(
            f"out: the video encoder could not finish {str(path)!r}; nothing there was changed, free some space or "
            "choose another folder and run again"
        )
