# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Stereolithography files, binary or text: three corners a triangle, which the mesh joins where they are equal."""

from __future__ import annotations

import numpy as np

from ... import _core
from ..._arrays import Array
from ...errors import MeshError
from .polygons import triangulate
from .surface import Surface
from .text import Text, plain

_HEAD, _FACET = 84, 50
"""Bytes of the header of a binary file with the number of triangles, and of each triangle."""
_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_LOOKED_AT = 4096
"""Bytes at the beginning that tell text from binary."""
_NEVER_IN_TEXT = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a"))
"""Control characters; numbers of binary files have some, zeros above all, among their bytes."""


def read_stl(content: bytes, name: str) -> Surface:
    """Read an .stl file, text or binary; all its solids together.

    The size tells a binary file, then its bytes; the word "solid" tells nothing, many binary files begin with it.

    Args:
        content: All bytes of the file.
        name: Name of the file for messages.

    Raises:
        MeshError: If it is cut off or damaged; of text, the message names the line.
    """
    count = int.from_bytes(content[_HEAD - 4 : _HEAD], "little")
    if len(content) != _HEAD + count * _FACET and _is_text(content):
        return _read_text(plain(content, name), name)
    return _read_binary(content, count, name)


def _is_text(content: bytes) -> bool:
    beginning = content[:_LOOKED_AT]
    utf16 = beginning[:2] in (b"\xff\xfe", b"\xfe\xff")
    return utf16 or len(beginning.translate(None, _NEVER_IN_TEXT)) == len(beginning)


def _read_binary(content: bytes, count: int, name: str) -> Surface:
    if len(content) < _HEAD:
        raise MeshError(f"{name}: expected a readable .stl file, got {len(content)} bytes; export the mesh again")
    whole, rest = divmod(len(content) - _HEAD, _FACET)
    corners = np.frombuffer(content, _RECORD, whole, _HEAD)["corners"].astype(np.float64).reshape(-1, 3)
    if count > whole and rest and not _is_closed(corners):
        raise MeshError(
            f"{name}: expected {count} triangles, got {whole} and a part of one; the file was cut off, "
            "export or download the mesh again"
        )
    # The number in the header may be wrong, and bytes may follow the triangles: what closes the surface is right.
    if 0 < count < whole and (_is_closed(corners[: 3 * count]) or (rest and not _is_closed(corners))):
        whole = count
    return _surface(corners[: 3 * whole])


def _read_text(content: bytes, name: str) -> Surface:
    text = Text(content.lower(), name)
    head, following = text.heads, np.minimum(text.heads + 1, max(len(text.starts) - 1, 0))
    ending = text.is_word(head, b"endsolid") | (text.is_word(head, b"end") & text.is_word(following, b"solid"))
    titles = np.flatnonzero(ending | text.is_word(head, b"solid"))
    named = np.zeros(len(text.starts), bool)  # words of titles, which may be any
    for line in titles.tolist():
        named[head[line] : head[line] + text.counts[line]] = True
    words = np.flatnonzero(~named)
    loops = words[text.is_word(words, b"outer")]
    marks = words[text.is_word(words, b"vertex")]
    if not titles.size and not loops.size:
        raise MeshError(f"{name}: expected a readable .stl file, got another text; export the mesh again")
    last = len(text.starts)
    cut = "got the end of the file; it was cut off, export or download the mesh again"
    if marks.size and marks[-1] + 3 >= last:
        text.fail(last, f"expected three coordinates, {cut}")
    if marks.size and not (loops.size and loops[0] < marks[0]):
        text.fail(int(marks[0]), "expected outer loop before a vertex, got none; repair the mesh")
    sizes = np.diff(np.searchsorted(marks, loops), append=len(marks))
    short = np.flatnonzero(sizes < 3)
    if short.size:
        at = int(short[0])
        if at == len(loops) - 1 and not named[-1]:
            text.fail(last, f"expected three corners, {cut}")
        text.fail(int(loops[at]), f"expected a triangle, got {sizes[at]} corners; repair the mesh")
    vertices = text.numbers(marks[:, None] + np.arange(1, 4))
    surface = Surface(vertices, triangulate(vertices, np.arange(len(vertices)), sizes))
    if not ending[-1:].any() and not _is_closed(vertices[surface.triangles].reshape(-1, 3)):
        text.fail(last, f"expected endsolid, {cut}")
    return surface


def _surface(corners: Array) -> Surface:
    return Surface(corners, np.arange(len(corners)).reshape(-1, 3))


def _is_closed(corners: Array) -> bool:
    """Whether triangles, three corners each, bound a solid."""
    if len(corners) == 0 or not np.isfinite(corners).all():
        return False
    triangles = np.arange(len(corners), dtype=np.int32).reshape(-1, 3)
    return len(_core.mesh_topology(np.ascontiguousarray(corners), triangles)[0]) == 0
