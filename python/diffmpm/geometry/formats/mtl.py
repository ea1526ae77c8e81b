# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Wavefront .mtl files: the base colour of each material, from Kd or map_Kd."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._color import linear_light
from ...errors import MeshError
from ..appearance import MeshMaterial
from .companions import Companions
from .text import plain

_FLAGS = {**dict.fromkeys(("-blendu", "-blendv", "-boost", "-texres", "-bm", "-imfchan", "-type", "-cc"), 1), "-mm": 2}
"""Number of arguments of the options of a texture that do not move it."""


@dataclass(frozen=True)
class MtlMaterial:
    """A material of an .mtl file."""

    material: MeshMaterial
    """Base colour. A texture replaces Kd, as exporters write any Kd beside it."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Factor of the texture coordinates."""
    offset: tuple[float, float] = (0.0, 0.0)
    """Offset of the scaled texture coordinates."""


def read_mtl(content: bytes, name: str, companions: Companions) -> dict[str, MtlMaterial]:
    """Return the materials of a file by name.

    Raises:
        MeshError: If a colour or an option is invalid, or a texture is damaged.
    """
    materials: dict[str, MtlMaterial] = {}
    current: str | None = None
    for number, line in enumerate(plain(content, name).decode("utf-8", "replace").split("\n"), 1):
        key, _, rest = line.strip().replace("\t", " ").partition(" ")
        where = f"{name}: line {number}"
        if key == "newmtl":
            current = rest.strip()
            materials[current] = MtlMaterial(MeshMaterial(name=current))
        elif current is not None and key == "Kd" and materials[current].material.texture is None:
            color = _color(rest, where)
            if color is not None:
                materials[current] = MtlMaterial(MeshMaterial(color, name=current))
        elif current is not None and key.lower() == "map_kd":
            materials[current] = _textured(rest, current, where, companions) or materials[current]
    return materials


def _color(text: str, where: str) -> tuple[float, float, float] | None:
    """Return a colour in linear light; None for spectral curves and XYZ values."""
    words = text.split()
    if words[:1] in (["spectral"], ["xyz"]):
        return None
    numbers = _numbers(words[:3], where)
    if len(numbers) == 1:  # the other two default to the first
        numbers *= 3
    if len(numbers) != 3 or not all(0.0 <= value <= 1.0 for value in numbers):
        raise MeshError(f"{where}: expected three numbers from 0 to 1 after Kd, got {text[:40]!r}; export it again")
    r, g, b = linear_light(np.array(numbers)).tolist()
    return r, g, b


def _textured(text: str, name: str, where: str, companions: Companions) -> MtlMaterial | None:
    """Return a material with a texture; None if the file of the texture is missing."""
    words, wrap = text.split(), "repeat"
    moves = {"-s": (1.0, 1.0), "-o": (0.0, 0.0), "-t": (0.0, 0.0)}
    k = 0
    while k < len(words) and words[k] in (*_FLAGS, *moves, "-clamp"):
        option, k = words[k], k + 1
        if option == "-clamp":
            wrap, k = "clamp" if words[k : k + 1] == ["on"] else "repeat", k + 1
        elif option in _FLAGS:
            k += _FLAGS[option]
        else:
            end = k
            while end < min(len(words) - 1, k + 3) and _is_number(words[end]):
                end += 1
            values = _numbers(words[k:end], where)[:2]
            if not values:
                raise MeshError(f"{where}: expected numbers after {option}, got none; export it again")
            moves[option], k = (values[0], [*values, moves[option][1]][1]), end
    # A file name may contain blanks: it is the rest of the line.
    reference = text.split(maxsplit=k)[k:]
    if not reference:
        raise MeshError(f"{where}: expected a file name after map_Kd, got none; export it again")
    texture = companions.texture(reference[0].strip())
    if texture is None:
        return None
    material = MeshMaterial(texture=texture, wrap=(wrap, wrap), name=name)  # type: ignore[arg-type]
    return MtlMaterial(material, moves["-s"], moves["-o"])


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _numbers(words: list[str], where: str) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise MeshError(f"{where}: expected numbers, got {' '.join(words)[:40]!r}; export it again") from None
    if not np.isfinite(values).all():
        raise MeshError(f"{where}: expected finite numbers, got {' '.join(words)[:40]!r}; export it again")
    return values
