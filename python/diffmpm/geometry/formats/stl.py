# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Stereolithography files, binary or text. Triangles do not share vertices; the mesh topology joins equal ones."""

from __future__ import annotations

import numpy as np

from ... import _core
from ..._arrays import Array
from ...errors import MeshError
from .._surfaces import Surface
from .polygons import triangulate
from .text import Text, first_true, plain

_HEAD, _FACET = 84, 50
"""Bytes of a binary header including the triangle count, and of each triangle."""
_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_PROBED = 4096
"""Leading bytes that distinguish text from binary."""
_NEVER_IN_TEXT = set(range(32)) - set(b"\t\n\v\f\r\x1a")
"""Control characters, which binary numbers contain, zeros above all."""


def read_stl(content: bytes, name: str) -> Surface:
    """Read an .stl file, text or binary; its solids are merged.

    The file size identifies a binary file, then its bytes. The word "solid" does not: many binary files begin with it.
    """
    count = int.from_bytes(content[_HEAD - 4 : _HEAD], "little")
    if len(content) != _HEAD + count * _FACET and _is_text(content):
        return _read_text(plain(content, name), name)
    return _read_binary(content, count, name)


def _is_text(content: bytes) -> bool:
    utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    return utf16 or not set(content[:_PROBED]) & _NEVER_IN_TEXT


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
    # The header count may be wrong, and bytes may follow the triangles: prefer the count that closes the surface.
    if 0 < count < whole and (_is_closed(corners[: 3 * count]) or (rest and not _is_closed(corners))):
        whole = count
    return Surface(corners[: 3 * whole], np.arange(3 * whole).reshape(-1, 3))


def _read_text(content: bytes, name: str) -> Surface:
    text = Text(content.lower(), name)
    head, following = text.heads, np.minimum(text.heads + 1, max(len(text.starts) - 1, 0))
    ending = text.is_word(head, b"endsolid") | (text.is_word(head, b"end") & text.is_word(following, b"solid"))
    titles = np.flatnonzero(ending | text.is_word(head, b"solid"))
    named = np.zeros(len(text.starts), bool)  # title words may be keywords
    for line in titles.tolist():
        named[head[line] : head[line] + text.counts[line]] = True
    words = np.flatnonzero(~named)
    loops = words[text.is_word(words, b"outer")]
    marks = words[text.is_word(words, b"vertex")]
    if not titles.size and not loops.size:
        raise MeshError(f"{name}: expected a readable .stl file, got other text; export the mesh again")
    last = len(text.starts)
    cut = "got the end of the file; it was cut off, export or download the mesh again"
    if marks.size and marks[-1] + 3 >= last:
        text.fail(last, f"expected three coordinates, {cut}")
    if marks.size and not (loops.size and loops[0] < marks[0]):
        text.fail(int(marks[0]), "expected outer loop before a vertex, got none; repair the mesh")
    sizes = np.diff(np.searchsorted(marks, loops), append=len(marks))
    if (k := first_true(sizes < 3)) is not None:
        if k == len(loops) - 1 and not named[-1]:
            text.fail(last, f"expected three corners, {cut}")
        text.fail(int(loops[k]), f"expected a triangle, got {sizes[k]} corners; repair the mesh")
    vertices = text.numbers(marks[:, None] + np.arange(1, 4))
    surface = Surface(vertices, triangulate(vertices, np.arange(len(vertices)), sizes))
    if not ending[-1:].any() and not _is_closed(vertices[surface.triangles].reshape(-1, 3)):
        text.fail(last, f"expected endsolid, {cut}")
    return surface


def _is_closed(corners: Array) -> bool:
    """Whether triangles, three consecutive corners each, form a closed surface."""
    if len(corners) == 0 or not np.isfinite(corners).all():
        return False
    triangles = np.arange(len(corners), dtype=np.int32).reshape(-1, 3)
    return len(_core.mesh_topology(np.ascontiguousarray(corners), triangles)[0]) == 0
