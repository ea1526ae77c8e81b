# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Materials and textures in files beside a mesh file, and images in general.

A mesh file may come from anywhere, so it must not make this program read other files: references are names of files in
the folder of the mesh or below it. Of an absolute path, as some exporters write, the last part is used. URLs are not
read.
"""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..._arrays import Array
from ..._files import read_file
from ...errors import MeshError
from ..appearance import Texture

_MOST_BYTES = 1 << 28
"""Maximum number of bytes of a file."""
_MOST_PIXELS = 1 << 26
"""Maximum number of pixels of all textures of a mesh: 200 MB, or one image of 8192 x 8192."""
_IMAGES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "BMP": "image/bmp", "TGA": "image/x-tga"}
"""Image formats with their media types."""
_LEVELS = 257.0
"""16-bit levels per 8-bit level."""


class Companions:
    """Files that a mesh file refers to.

    Args:
        folder: Folder of the mesh file; None for data without a file, in which every reference is missing.
        name: Name of the mesh file for messages.
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        self._folder, self._name = folder, name
        self._textures: dict[str, Texture | None] = {}
        self._pixels = 0
        self.missing: list[str] = []
        """What was not read and why, for one warning."""

    def read(self, reference: str, *, report: bool = True) -> bytes | None:
        """Return the content of a file; None, with an entry in `missing`, if it is not there or must not be read.

        Args:
            reference: Path in the mesh file.
            report: Whether a missing file gets an entry.

        Raises:
            MeshError: If it is too large.
        """
        path = self._path(reference)
        reason = path if isinstance(path, str) else ""
        try:
            if isinstance(path, Path) and path.is_file():
                if path.stat().st_size > _MOST_BYTES:
                    limit = f"{_MOST_BYTES >> 20} MiB"
                    raise MeshError(f"{self._where(reference)}: expected at most {limit}, got more; export it smaller")
                return read_file(path)
        except (OSError, ValueError) as error:
            reason = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        if report:
            self.missing.append(f"{_short(reference)!r} {reason or 'is not a file in the folder of the mesh'}")
        return None

    def texture(self, reference: str) -> Texture | None:
        """Return the image in a file; None, with an entry in `missing`, if it is not there or must not be read.

        Raises:
            MeshError: If it is damaged, too large or of an unknown format.
        """
        if reference not in self._textures:
            content = self.read(reference)
            name = re.split(r"[/\\]", reference.strip())[-1]
            self._textures[reference] = None if content is None else self.image(content, name)
        return self._textures[reference]

    def image(self, content: bytes, name: str) -> Texture:
        """Return the texture in an image file.

        Args:
            content: Content of a .png, .jpg, .webp, .bmp or .tga file.
            name: Its name, for messages and export.

        Raises:
            MeshError: If it is damaged, too large or of an unknown format.
        """
        from PIL import Image

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the size is checked below
                image = Image.open(io.BytesIO(content), formats=list(_IMAGES))
            mime, (width, height) = _IMAGES[str(image.format)], image.size
        except Exception as error:  # decoders raise errors of many types
            raise MeshError(
                f"{self._where(name)}: expected an image (.png .jpg .webp .bmp .tga), got other data ({error}); "
                "export the texture again"
            ) from None
        self._pixels += width * height
        if self._pixels > _MOST_PIXELS:
            raise MeshError(
                f"{self._where(name)}: expected textures of at most {_MOST_PIXELS} pixels, got {width} x {height} or "
                "more; export smaller ones"
            )
        try:
            pixels = _rgb(image)
        except Exception as error:
            raise MeshError(
                f"{self._where(name)}: expected an intact image, got a damaged one ({error}); export the texture again"
            ) from None
        return Texture(pixels, content, mime, name)

    def _path(self, reference: str) -> Path | str:
        """Return the path of a reference below the folder of the mesh, or why it is not read."""
        text = reference.strip().replace("\\", "/")
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", text):
            return "is a URL"
        if not text or "\0" in text:
            return "is not a file name"
        if self._folder is None:
            return "is in another file"
        if text.startswith("/") or re.match(r"[A-Za-z]:", text):
            text = text.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
        try:
            folder = self._folder.resolve()
            path = (folder / text).resolve()
        except (OSError, RuntimeError, ValueError):  # a name that is too long, a loop of links
            return "is not a file name"
        return path if path.is_relative_to(folder) else "is outside of the folder of the mesh"

    def _where(self, reference: str) -> str:
        return f"{self._name}: {_short(reference)}"


def _rgb(image: Any) -> Array:
    """Return the pixels of an image without its alpha, shape (H, W, 3), uint8."""
    if image.mode.startswith("I"):  # 16-bit grey
        grey = np.clip(np.rint(np.asarray(image) / _LEVELS), 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.asarray(image.convert("RGBA" if image.mode in ("P", "PA") else "RGB").convert("RGB"))


def _short(reference: str) -> str:
    text = "".join(c if c.isprintable() else "?" for c in reference)
    return text if len(text) <= 80 else text[:77] + "..."
